//! Collections, their documents, who may do what in them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use cloister_appliance::Level;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::auth::Authenticated;
use crate::extract::{Body, Parameters, Params};
use crate::problem::Problem;
use crate::state::AppState;
use crate::wire::{
    Collection, Collections, Document, Documents, Grant, GrantBody, Grants, NewCollectionBody, RevokeBody,
};

/// Documents in one slice, when not said.
const SLICE_DEFAULT: usize = 100;

/// Documents in one slice at most.
const SLICE_MAX: usize = 1_000;

/// Collections visible to the caller
#[utoipa::path(get, path = "/collections", tag = "collections",
    responses((status = 200, description = "Collections", body = Collections)))]
pub(super) async fn list(State(state): State<AppState>, who: Authenticated) -> Result<Json<Collections>, Problem> {
    let found = state.run(move |appliance| appliance.collections(&who.caller)).await?;
    Ok(Json(Collections { collections: found.into_iter().map(Collection::from).collect() }))
}

/// Adds a collection, which the caller then manages
#[utoipa::path(post, path = "/collections", tag = "collections", request_body = NewCollectionBody,
    responses((status = 201, description = "The collection", body = Collection)))]
pub(super) async fn add(
    State(state): State<AppState>,
    who: Authenticated,
    Body(body): Body<NewCollectionBody>,
) -> Result<(StatusCode, Json<Collection>), Problem> {
    let added = state.run(move |appliance| appliance.add_collection(&who.caller, &body.name)).await?;
    Ok((StatusCode::CREATED, Json(added.into())))
}

/// Removes a collection with all its documents
#[utoipa::path(delete, path = "/collections/{id}", tag = "collections", params(("id" = String, Path, description = "Id or name")),
    responses((status = 204, description = "Removed")))]
pub(super) async fn remove(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(id): Parameters<String>,
) -> Result<StatusCode, Problem> {
    state.run(move |appliance| appliance.remove_collection(&who.caller, &id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who may do what in a collection
#[utoipa::path(get, path = "/collections/{id}/grants", tag = "collections", params(("id" = String, Path, description = "Id or name")),
    responses((status = 200, description = "Grants", body = Grants)))]
pub(super) async fn grants(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(id): Parameters<String>,
) -> Result<Json<Grants>, Problem> {
    let found = state.run(move |appliance| appliance.grants(&who.caller, &id)).await?;
    Ok(Json(Grants { grants: found.into_iter().map(Grant::from).collect() }))
}

/// Grants a user a level, replacing what they had
#[utoipa::path(post, path = "/collections/{id}/grants", tag = "collections", params(("id" = String, Path, description = "Id or name")),
    request_body = GrantBody, responses((status = 204, description = "Granted")))]
pub(super) async fn grant(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(id): Parameters<String>,
    Body(body): Body<GrantBody>,
) -> Result<StatusCode, Problem> {
    let level =
        Level::parse(&body.level).ok_or_else(|| Problem::invalid("level must be one of read, write, manage"))?;
    state.run(move |appliance| appliance.grant(&who.caller, &id, &body.user, level)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a user's grant away
#[utoipa::path(delete, path = "/collections/{id}/grants", tag = "collections", params(("id" = String, Path, description = "Id or name")),
    request_body = RevokeBody, responses((status = 204, description = "Revoked")))]
pub(super) async fn revoke(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(id): Parameters<String>,
    Body(body): Body<RevokeBody>,
) -> Result<StatusCode, Problem> {
    state.run(move |appliance| appliance.revoke(&who.caller, &id, &body.user)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where a slice of documents begins.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Slice {
    /// `next` of the slice before.
    after: Option<String>,
    /// Documents wanted, at most 1,000; 100 without it.
    limit: Option<usize>,
}

/// Documents of a collection, by name
#[utoipa::path(get, path = "/collections/{id}/documents", tag = "documents",
    params(("id" = String, Path, description = "Id or name"), Slice), responses((status = 200, description = "Documents", body = Documents)))]
pub(super) async fn documents(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(id): Parameters<String>,
    Params(slice): Params<Slice>,
) -> Result<Json<Documents>, Problem> {
    let limit = slice.limit.unwrap_or(SLICE_DEFAULT).clamp(1, SLICE_MAX);
    let found =
        state.run(move |appliance| appliance.documents(&who.caller, &id, slice.after.as_deref(), limit)).await?;
    Ok(Json(Documents { documents: found.documents.into_iter().map(Document::from).collect(), next: found.next }))
}
