//! Health, metrics, models, status.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use cloister_appliance::{Caller, ModelState};

use crate::auth::Authenticated;
use crate::problem::Problem;
use crate::state::AppState;
use crate::wire::{Check, Health, Model, ModelStatus, Models, Readiness, Status};

/// Alive
#[utoipa::path(get, path = "/health", tag = "health", security(()), responses((status = 200, description = "Alive", body = Health)))]
pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "ok", version: crate::VERSION })
}

pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// 200 when questions can be answered, 503 with the reason when not. Anyone may ask, so that it looks at no document.
pub(super) async fn ready(State(state): State<AppState>) -> Response {
    let checks = match state.run(|appliance| Ok(appliance.readiness())).await {
        Ok(models) => vec![
            Check { name: "store".to_owned(), ok: true, detail: "open".to_owned() },
            model_check("embedder", models.embedder),
            model_check("generator", models.generator),
        ],
        Err(problem) => {
            vec![Check { name: "store".to_owned(), ok: false, detail: problem.detail().to_owned() }]
        }
    };
    let ready = checks.iter().all(|check| check.ok) && !*state.stopping.borrow();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, checks })).into_response()
}

/// The server's own questions about itself.
fn operator() -> Caller {
    Caller::operator("server")
}

/// The id may be a path, which strangers need not know.
fn model_check(role: &str, model: cloister_appliance::ModelStatus) -> Check {
    let ok = !matches!(model.state, ModelState::Missing | ModelState::Failed);
    let ModelStatus { state, .. } = model.into();
    Check { name: role.to_owned(), ok, detail: state }
}

/// For this machine without signing in, for others with an administrator's or auditor's session or key. Behind a proxy all
/// come from this machine, so that all have to sign in.
pub(super) async fn metrics(State(state): State<AppState>, request: Request) -> Result<Response, Problem> {
    let near = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .is_some_and(|ConnectInfo(address)| address.ip().is_loopback());
    if !near || state.behind_tls() {
        let (mut parts, _) = request.into_parts();
        let who = Authenticated::from_request_parts(&mut parts, &state).await?;
        if !who.caller.may_audit() {
            return Err(Problem::new(StatusCode::FORBIDDEN, "denied", "metrics are for administrators and auditors"));
        }
    }
    let status = state.run(|appliance| appliance.status(&operator())).await.ok();
    let text = state.metrics.render(status.as_ref());
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// Models of the catalogue and of the models directory
#[utoipa::path(get, path = "/models", tag = "models", responses((status = 200, description = "Models", body = Models)))]
pub(super) async fn models(State(state): State<AppState>, who: Authenticated) -> Result<Json<Models>, Problem> {
    let found = state.run(move |appliance| appliance.models(&who.caller)).await?;
    Ok(Json(Models { models: found.into_iter().map(Model::from).collect() }))
}

/// The appliance at a glance
#[utoipa::path(get, path = "/status", tag = "health", responses((status = 200, description = "Status", body = Status)))]
pub(super) async fn status(State(state): State<AppState>, who: Authenticated) -> Result<Json<Status>, Problem> {
    let status = state.run(move |appliance| appliance.status(&who.caller)).await?;
    Ok(Json(status.into()))
}
