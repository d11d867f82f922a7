//! The routes and their description.

mod accounts;
mod ask;
mod audit;
mod collections;
mod documents;
mod health;
mod jobs;
mod upload;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router, middleware};
use cloister_appliance::Appliance;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Description, PathItem, Ref, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::problem::Problem;
use crate::server::{Options, Stop};
use crate::state::AppState;
use crate::{layers, page};

/// Below this all routes of the API lie.
const PREFIX: &str = "/api/v1";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Cloister",
        description = "A private document appliance: documents go in, cited answers come out, nothing leaves the machine.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        contact()
    ),
    components(schemas(
        crate::problem::ProblemBody,
        crate::wire::Answer,
        crate::wire::Citation,
        crate::wire::Job,
        crate::wire::ReadingEvent,
        crate::wire::RetrievedEvent,
        crate::wire::TokenEvent,
        crate::wire::WaitingEvent
    )),
    security(("session" = []), ("key" = []))
)]
struct Base;

/// All routes over `appliance`, without a socket. Requests must carry `axum::extract::ConnectInfo` to be told apart by
/// address.
pub fn router(appliance: Arc<Appliance>, options: &Options, stop: &Stop) -> Router {
    routes(AppState::new(appliance, options.limits.clone(), options.behind_tls, stop.subscribe()))
}

/// The description of the API, as `GET /api/v1/openapi.json` answers it.
pub fn openapi() -> Description {
    describe(bounded().merge(lasting()).into_openapi())
}

pub(crate) fn routes(state: AppState) -> Router {
    let (bounded, _) = bounded().split_for_parts();
    let (lasting, _) = lasting().split_for_parts();
    let description = Json(openapi());
    let api = bounded
        .route("/openapi.json", get(move || std::future::ready(description.clone().into_response())))
        .layer(DefaultBodyLimit::max(state.limits.body_bytes_max))
        .layer(middleware::from_fn_with_state(state.clone(), layers::in_time))
        .merge(lasting.layer(DefaultBodyLimit::max(state.limits.body_bytes_max)))
        .merge(upload::router())
        .fallback(|| async { Problem::not_found("there is nothing at this address") });
    Router::new()
        .nest(PREFIX, api)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .fallback(page::serve)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn(layers::same_origin))
        .layer(middleware::from_fn_with_state(state.clone(), layers::around))
        .with_state(state)
}

async fn method_not_allowed() -> Problem {
    let status = axum::http::StatusCode::METHOD_NOT_ALLOWED;
    Problem::new(status, "method_not_allowed", "this address does not know the method")
}

/// Routes that answer within the request's time limit.
fn bounded() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(health::health))
        .routes(routes!(health::status))
        .routes(routes!(health::models))
        .routes(routes!(accounts::setup_state, accounts::set_up))
        .routes(routes!(accounts::login))
        .routes(routes!(accounts::logout))
        .routes(routes!(accounts::session))
        .routes(routes!(accounts::users, accounts::add_user))
        .routes(routes!(accounts::disable_user))
        .routes(routes!(accounts::set_password))
        .routes(routes!(accounts::keys, accounts::add_key))
        .routes(routes!(accounts::revoke_key))
        .routes(routes!(collections::list, collections::add))
        .routes(routes!(collections::grants, collections::grant, collections::revoke))
        .routes(routes!(documents::show))
        .routes(routes!(documents::text))
        .routes(routes!(documents::page))
        .routes(routes!(documents::boxes))
        .routes(routes!(documents::retry))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::cancel))
        .routes(routes!(ask::search))
        .routes(routes!(ask::answer))
        .routes(routes!(audit::list))
}

/// Routes that take as long as they take: streams, and work that grows with what is stored and cannot be stopped half-way.
fn lasting() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(documents::original))
        .routes(routes!(jobs::events))
        .routes(routes!(ask::ask))
        .routes(routes!(audit::export))
        .routes(routes!(audit::verify))
        .routes(routes!(collections::remove))
        .routes(routes!(documents::remove))
}

/// Adds what holds for every operation: prefix, version, ways to sign in, the problem answer.
fn describe(routes: Description) -> Description {
    let mut description = Base::openapi();
    description.merge(routes);
    description.merge(upload::openapi());
    crate::VERSION.clone_into(&mut description.info.version);
    let paths = std::mem::take(&mut description.paths.paths);
    for (path, mut item) in paths {
        operations(&mut item).for_each(add_problem);
        description.paths.paths.insert(format!("{PREFIX}{path}"), item);
    }
    let components = description.components.get_or_insert_default();
    let cookie = ApiKeyValue::with_description("cloister_session", "Unsafe methods also need x-cloister-csrf.");
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
    let key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme("key", SecurityScheme::Http(key));
    description
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.delete, &mut item.patch].into_iter().flatten()
}

fn add_problem(operation: &mut Operation) {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let problem =
        ResponseBuilder::new().description("Why it was not done").content("application/problem+json", content).build();
    operation.responses.responses.insert("default".to_owned(), problem.into());
}
