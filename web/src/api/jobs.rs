//! Jobs and their events.

use std::ops::ControlFlow;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use tokio::sync::mpsc;
use utoipa::IntoParams;

use crate::auth::Authenticated;
use crate::extract::{Parameters, Params};
use crate::problem::Problem;
use crate::state::{AppState, Lane};
use crate::stream;
use crate::wire::{Job, Jobs};

/// Events that may wait for a slow client; one that is slower is cut off and connects again.
const EVENTS_WAITING_MAX: usize = 4_096;

/// Which jobs.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct JobParams {
    /// Id or name of a collection.
    collection: Option<String>,
}

/// Unfinished jobs and the last finished ones
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(JobParams), responses((status = 200, description = "Jobs", body = Jobs)))]
pub(super) async fn list(
    State(state): State<AppState>,
    who: Authenticated,
    Params(params): Params<JobParams>,
) -> Result<Json<Jobs>, Problem> {
    let found = state.run(move |appliance| appliance.jobs(&who.caller, params.collection.as_deref())).await?;
    Ok(Json(Jobs { jobs: found.into_iter().map(Job::from).collect() }))
}

/// Server-sent events `job`, one for every unfinished job first
#[utoipa::path(get, path = "/jobs/events", tag = "jobs",
    responses((status = 200, description = "Events `job` with a Job", body = String, content_type = "text/event-stream")))]
pub(super) async fn events(State(state): State<AppState>, who: Authenticated) -> Result<Response, Problem> {
    let place = state.place_now(Lane::Events)?;
    let (sender, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
    state
        .run(move |appliance| {
            let sink = move |job: &cloister_appliance::JobInfo| match sender
                .try_send(stream::event("job", &Job::from(job.clone())))
            {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            };
            appliance.subscribe(&who.caller, Box::new(sink))
        })
        .await?;
    Ok(stream::endless_events(receiver, place, state.stopping.clone(), state.limits.event_stream_max))
}

/// Stops a job
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs", params(("id" = String, Path)),
    responses((status = 204, description = "Stopped")))]
pub(super) async fn cancel(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(id): Parameters<String>,
) -> Result<StatusCode, Problem> {
    state.run(move |appliance| appliance.cancel_job(&who.caller, &id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
