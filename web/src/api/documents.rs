//! Documents: what they are, their text, pages, boxes and bytes.

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderMap};
use axum::http::{HeaderName, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::Authenticated;
use crate::extract::{Parameters, Params};
use crate::original;
use crate::problem::Problem;
use crate::state::AppState;
use crate::wire::{Boxes, DocumentDetail, PageView, Removed, Retried};

/// All about a document
#[utoipa::path(get, path = "/documents/{id}", tag = "documents", params(("id" = String, Path)),
    responses((status = 200, description = "The document", body = DocumentDetail)))]
pub(super) async fn show(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(id): Parameters<String>,
) -> Result<Json<DocumentDetail>, Problem> {
    let found = state.run(move |appliance| appliance.document(&who.caller, &id, None)).await?;
    Ok(Json(found.into()))
}

/// Removes a document: bytes, text, passages, vectors
#[utoipa::path(delete, path = "/documents/{id}", tag = "documents", params(("id" = String, Path)),
    responses((status = 200, description = "What was taken away", body = Removed)))]
pub(super) async fn remove(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(id): Parameters<String>,
) -> Result<Json<Removed>, Problem> {
    let removed = state.run(move |appliance| appliance.remove_document(&who.caller, &id, None)).await?;
    Ok(Json(removed.into()))
}

/// Which version is wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct VersionParams {
    /// Number of the version; the current one without it.
    version: Option<u32>,
}

/// The canonical text: the pages' texts joined by a line feed and a form feed
#[utoipa::path(get, path = "/documents/{id}/text", tag = "documents", params(("id" = String, Path), VersionParams),
    responses((status = 200, description = "The text", body = String, content_type = "text/plain; charset=utf-8")))]
pub(super) async fn text(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(id): Parameters<String>,
    Params(VersionParams { version }): Params<VersionParams>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let text = state.run(move |appliance| appliance.document_text_at(&who.caller, &id, version)).await?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], text))
}

/// One page with its words and blocks
#[utoipa::path(get, path = "/documents/{id}/pages/{page}", tag = "documents",
    params(("id" = String, Path), ("page" = u32, Path, description = "From 1"), VersionParams),
    responses((status = 200, description = "The page", body = PageView)))]
pub(super) async fn page(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters((id, page)): Parameters<(String, u32)>,
    Params(VersionParams { version }): Params<VersionParams>,
) -> Result<Json<PageView>, Problem> {
    let found = state.run(move |appliance| appliance.document_page(&who.caller, &id, page, version)).await?;
    Ok(Json(found.into()))
}

/// A stretch of the canonical text.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Stretch {
    /// First character.
    start: u32,
    /// After the last character.
    end: u32,
    /// Number of the version; the current one without it.
    version: Option<u32>,
}

/// Where a stretch of the canonical text stands
#[utoipa::path(get, path = "/documents/{id}/boxes", tag = "documents", params(("id" = String, Path), Stretch),
    responses((status = 200, description = "Boxes", body = Boxes)))]
pub(super) async fn boxes(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(id): Parameters<String>,
    Params(Stretch { start, end, version }): Params<Stretch>,
) -> Result<Json<Boxes>, Problem> {
    let boxes = state.run(move |appliance| appliance.document_boxes(&who.caller, &id, start, end, version)).await?;
    Ok(Json(Boxes { boxes }))
}

/// How an original is wanted.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OriginalParams {
    /// `1`: always as an attachment.
    download: Option<String>,
    /// Number of the version; the current one without it.
    version: Option<u32>,
}

/// The bytes as they came in; PDF inline, everything else as an attachment; range requests
#[utoipa::path(get, path = "/documents/{id}/original", tag = "documents", params(("id" = String, Path), OriginalParams),
    responses(
        (status = 200, description = "The bytes", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 206, description = "The range asked for", body = Vec<u8>, content_type = "application/octet-stream")))]
pub(super) async fn original(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(id): Parameters<String>,
    Params(params): Params<OriginalParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let version = params.version;
    let found = state.run(move |appliance| appliance.document_original(&who.caller, &id, version)).await?;
    original::respond(found, &headers, params.download.as_deref() == Some("1")).await
}

/// Queues a document again whose reading failed or left gaps
#[utoipa::path(post, path = "/documents/{id}/retry", tag = "documents", params(("id" = String, Path)),
    responses((status = 202, description = "The job", body = Retried)))]
pub(super) async fn retry(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(id): Parameters<String>,
) -> Result<(StatusCode, Json<Retried>), Problem> {
    let job = state.run(move |appliance| appliance.retry(&who.caller, &id)).await?;
    Ok((StatusCode::ACCEPTED, Json(Retried { job })))
}
