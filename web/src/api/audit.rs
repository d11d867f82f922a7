//! The audit log.

use axum::Json;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use cloister_appliance::{AuditFilter, AuditFormat};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::Authenticated;
use crate::extract::Params;
use crate::problem::Problem;
use crate::state::AppState;
use crate::stream;
use crate::wire::{AuditPage, AuditVerdict};

/// Records in one slice, when not said.
const SLICE_DEFAULT: usize = 100;

/// Records in one slice at most.
const SLICE_MAX: usize = 1_000;

/// Which records.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RecordParams {
    /// `next` of the slice before.
    after: Option<u64>,
    /// Records wanted, at most 1,000; 100 without it.
    limit: Option<usize>,
    /// Only this action.
    action: Option<String>,
    /// Only this actor.
    actor: Option<String>,
}

/// Records, newest first
#[utoipa::path(get, path = "/audit", tag = "audit", params(RecordParams),
    responses((status = 200, description = "Records", body = AuditPage)))]
pub(super) async fn list(
    State(state): State<AppState>,
    who: Authenticated,
    Params(params): Params<RecordParams>,
) -> Result<Json<AuditPage>, Problem> {
    let limit = params.limit.unwrap_or(SLICE_DEFAULT).clamp(1, SLICE_MAX);
    let filter =
        AuditFilter { newest_first: true, after: params.after, limit, action: params.action, actor: params.actor };
    let page = state.run(move |appliance| appliance.audit_records(&who.caller, &filter)).await?;
    Ok(Json(page.into()))
}

/// What to export.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportParams {
    /// `jsonl` (default; can be verified) or `csv`.
    format: Option<String>,
    /// Records from this time on (RFC 3339).
    from: Option<String>,
    /// Records up to this time (RFC 3339).
    to: Option<String>,
}

/// Records as a file; the JSON Lines form ends with a signed trailer
#[utoipa::path(get, path = "/audit/export", tag = "audit", params(ExportParams),
    responses((status = 200, description = "The file", body = String, content_type = "application/jsonl")))]
pub(super) async fn export(
    State(state): State<AppState>,
    who: Authenticated,
    Params(params): Params<ExportParams>,
) -> Result<Response, Problem> {
    let (format, kind, name) = match params.format.as_deref().unwrap_or("jsonl") {
        "jsonl" => (AuditFormat::Jsonl, "application/jsonl", "audit.jsonl"),
        "csv" => (AuditFormat::Csv, "text/csv; charset=utf-8", "audit.csv"),
        _ => return Err(Problem::invalid("format must be jsonl or csv")),
    };
    let body = stream::written(&state, move |appliance, out| {
        appliance.audit_export(&who.caller, format, params.from.as_deref(), params.to.as_deref(), out).map(|_| ())
    })
    .await?;
    let disposition = format!("attachment; filename=\"{name}\"");
    Ok(([(CONTENT_TYPE, kind.to_owned()), (CONTENT_DISPOSITION, disposition)], body).into_response())
}

/// Verifies the whole log on the spot
#[utoipa::path(post, path = "/audit/verify", tag = "audit",
    responses((status = 200, description = "The verdict", body = AuditVerdict)))]
pub(super) async fn verify(State(state): State<AppState>, who: Authenticated) -> Result<Json<AuditVerdict>, Problem> {
    let verdict = state.run(move |appliance| appliance.audit_verify(&who.caller)).await?;
    Ok(Json(verdict.into()))
}
