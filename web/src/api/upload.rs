//! Uploads: multipart bodies streamed to the disk, never held in memory.

use std::time::Duration;

use axum::Json;
use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::StatusCode;
use cloister_appliance::UploadOptions;
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::collections;
use crate::auth::Authenticated;
use crate::extract::Parameters;
use crate::problem::Problem;
use crate::state::{AppState, Lane};
use crate::stream::{Piece, PieceReader};
use crate::wire::{UploadItem, Uploads};

/// Longest text field (`name`, `keep_duplicates`) in bytes.
const FIELD_BYTES_MAX: usize = 4_096;

fn described() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(collections::documents, upload))
}

/// The route with the uploads' own limits in place of the general one: each file by the appliance's configuration.
pub(super) fn router() -> axum::Router<AppState> {
    let (router, _) = described().split_for_parts();
    router.layer(DefaultBodyLimit::disable())
}

pub(super) fn openapi() -> utoipa::openapi::OpenApi {
    described().into_openapi()
}

/// Parts of an upload.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the multipart body, which is read part by part")]
pub(super) struct UploadBody {
    /// `true`: the same bytes under another name become a document of their own. Stands before the files.
    keep_duplicates: Option<bool>,
    /// Name of the file that follows, in place of its file name; may hold `/`.
    name: Option<String>,
    /// A file; may be repeated.
    #[schema(format = Binary, content_media_type = "application/octet-stream")]
    file: Vec<u8>,
}

/// Uploads files; answers when they are on the disk, before they are read
#[utoipa::path(post, path = "/collections/{id}/documents", tag = "documents", params(("id" = String, Path, description = "Id or name")),
    request_body(content = UploadBody, content_type = "multipart/form-data"),
    responses((status = 202, description = "What became of each file", body = Uploads)))]
pub(super) async fn upload(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(collection): Parameters<String>,
    request: Request,
) -> Result<(StatusCode, Json<Uploads>), Problem> {
    let caller = who.caller.clone();
    let sought = collection.clone();
    let collection = state.run(move |appliance| appliance.collection(&caller, &sought)).await?.id;
    let mut parts = Multipart::from_request(request, &state)
        .await
        .map_err(|rejection: MultipartRejection| Problem::invalid(rejection.body_text()))?;
    let mut receiving =
        Receiving { state, who, collection, options: UploadOptions::default(), name: None, uploads: Vec::new() };
    loop {
        match receiving.next(&mut parts).await {
            Ok(true) => {}
            Ok(false) => return Ok((StatusCode::ACCEPTED, Json(Uploads { uploads: receiving.uploads }))),
            Err(problem) => {
                drain(&mut parts, receiving.state.limits.drain_bytes_max, receiving.state.limits.upload_silence_max)
                    .await;
                return Err(problem.with_uploads(receiving.uploads));
            }
        }
    }
}

/// An upload under way.
struct Receiving {
    state: AppState,
    who: Authenticated,
    collection: String,
    options: UploadOptions,
    /// Name for the next file.
    name: Option<String>,
    uploads: Vec<UploadItem>,
}

impl Receiving {
    /// Takes the next part; false when there is none.
    async fn next(&mut self, parts: &mut Multipart) -> Result<bool, Problem> {
        let silence = self.state.limits.upload_silence_max;
        let Some(field) = timely(silence, parts.next_field()).await? else {
            return Ok(false);
        };
        match field.name().unwrap_or_default() {
            "name" => self.name = Some(text(field, silence).await?),
            "keep_duplicates" => {
                self.options.keep_duplicates = matches!(text(field, silence).await?.as_str(), "true" | "1" | "on");
            }
            "file" => self.file(field).await?,
            other => return Err(Problem::invalid(format!("there is no field named {other:?} in an upload"))),
        }
        Ok(true)
    }

    async fn file(&mut self, mut field: Field<'_>) -> Result<(), Problem> {
        let files_max = self.state.limits.upload_files_max;
        if self.uploads.len() >= files_max {
            let detail = format!("an upload holds at most {files_max} files");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_many_files", detail));
        }
        let name = self.name.take().or_else(|| field.file_name().map(str::to_owned)).unwrap_or_default();
        let item = match self.store(&name, &mut field).await {
            Ok(item) => item,
            Err(problem) if is_of_this_file(&problem) => UploadItem::failed(name, problem.code(), problem.detail()),
            Err(problem) => return Err(problem),
        };
        self.state.metrics.uploaded(&item.status);
        self.uploads.push(item);
        Ok(())
    }

    /// Streams a file to the appliance: this side feeds pieces, a blocking thread writes them.
    async fn store(&self, name: &str, field: &mut Field<'_>) -> Result<UploadItem, Problem> {
        let (sender, mut reader) = PieceReader::channel();
        let (caller, collection) = (self.who.caller.clone(), self.collection.clone());
        let (name, options) = (name.to_owned(), self.options.clone());
        let state = self.state.clone();
        let storing = tokio::spawn(async move {
            state
                .run_in(Lane::Uploads, move |appliance| {
                    appliance.upload(&caller, &collection, &name, &mut reader, &options)
                })
                .await
        });
        let fed = self.feed(field, sender).await;
        let stored = storing.await.map_err(|error| Problem::internal(&error.to_string()))?;
        // What broke the body off says more than that the file was short.
        fed?;
        Ok(stored?.into())
    }

    async fn feed(&self, field: &mut Field<'_>, sender: tokio::sync::mpsc::Sender<Piece>) -> Result<(), Problem> {
        while let Some(bytes) = timely(self.state.limits.upload_silence_max, field.chunk()).await? {
            self.state.metrics.upload_bytes(bytes.len() as u64);
            if sender.send(Piece::Bytes(bytes)).await.is_err() {
                // The appliance refuses the rest; its error says why.
                return Ok(());
            }
        }
        // The same holds here.
        let _ = sender.send(Piece::End).await;
        Ok(())
    }
}

/// Whether the files that follow may go on.
fn is_of_this_file(problem: &Problem) -> bool {
    problem.status() == StatusCode::UNPROCESSABLE_ENTITY || problem.status() == StatusCode::CONFLICT
}

async fn timely<T>(silence: Duration, next: impl Future<Output = Result<T, MultipartError>>) -> Result<T, Problem> {
    match timeout(silence, next).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Problem::new(StatusCode::BAD_REQUEST, "broken_upload", error.body_text())),
        Err(_) => {
            let detail = format!("nothing came for {} s", silence.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail))
        }
    }
}

async fn text(mut field: Field<'_>, silence: Duration) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = timely(silence, field.chunk()).await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > FIELD_BYTES_MAX {
            return Err(Problem::invalid(format!("a field is longer than {FIELD_BYTES_MAX} bytes")));
        }
    }
    String::from_utf8(bytes).map_err(|_| Problem::invalid("a field is not UTF-8"))
}

/// Reads on for a while, since browsers look at the answer only when they have sent everything.
async fn drain(parts: &mut Multipart, bytes_max: u64, silence: Duration) {
    let mut drained = 0;
    while let Ok(Some(mut field)) = timely(silence, parts.next_field()).await {
        while let Ok(Some(chunk)) = timely(silence, field.chunk()).await {
            drained += chunk.len() as u64;
            if drained > bytes_max {
                return;
            }
        }
    }
}
