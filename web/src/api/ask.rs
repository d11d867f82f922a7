//! Search and questions.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use axum::response::sse::Event;
use cloister_appliance::{AskEvent, CancelFlag, Question, SearchMode, SearchQuery};
use tokio::sync::mpsc;

use crate::auth::Authenticated;
use crate::extract::{Body, Parameters};
use crate::problem::Problem;
use crate::state::{AppState, Lane};
use crate::stream::{self, CancelOnDrop};
use crate::wire::{
    Answer, AskBody, Citation, ReadingEvent, RetrievedEvent, SearchBody, SearchResult, TokenEvent, WaitingEvent,
};

/// Passages one search may return.
const PASSAGES_MAX: usize = 100;

/// Events that may wait for a slow client before the answer waits for it.
const EVENTS_WAITING_MAX: usize = 256;

/// Passages that fit a query
#[utoipa::path(post, path = "/search", tag = "ask", request_body = SearchBody,
    responses((status = 200, description = "Passages, best first", body = SearchResult)))]
pub(super) async fn search(
    State(state): State<AppState>,
    who: Authenticated,
    Body(body): Body<SearchBody>,
) -> Result<Json<SearchResult>, Problem> {
    let mode = match body.mode.as_deref() {
        None => SearchMode::default(),
        Some(word) => {
            SearchMode::parse(word).ok_or_else(|| Problem::invalid("mode must be one of hybrid, keyword, vector"))?
        }
    };
    let limit = body.limit.unwrap_or(0).min(PASSAGES_MAX);
    let query = SearchQuery { collection: body.collection, documents: body.documents, text: body.query, mode, limit };
    let found = state.run(move |appliance| appliance.search(&who.caller, &query)).await?;
    Ok(Json(found.into()))
}

/// Answers a question from the documents: events `retrieved`, `waiting`, `reading`, `token`, `citation`, `done`, `error`
///
/// What is refused before the first event is answered as a problem with its status. Closing the connection cancels.
#[utoipa::path(post, path = "/ask", tag = "ask", request_body = AskBody,
    responses((status = 200, description = "Events: RetrievedEvent, WaitingEvent, ReadingEvent, TokenEvent, Citation, Answer, Problem",
        body = String, content_type = "text/event-stream")))]
pub(super) async fn ask(
    State(state): State<AppState>,
    who: Authenticated,
    Body(body): Body<AskBody>,
) -> Result<Response, Problem> {
    let place = state.place_now(Lane::Questions)?;
    let question = Question {
        collection: body.collection,
        documents: body.documents,
        text: body.question,
        model: body.model,
        passages: 0,
    };
    let cancel = CancelFlag::new();
    let guard = CancelOnDrop(cancel.clone());
    let (sender, mut receiver) = mpsc::channel(EVENTS_WAITING_MAX);
    let asking = state.clone();
    tokio::task::spawn_blocking(move || {
        let _place = place;
        answer_to(&asking, &who, &question, &cancel, &sender);
    });
    let first = match receiver.recv().await {
        Some(Ok(event)) => event,
        Some(Err(problem)) => return Err(problem),
        None => return Err(Problem::internal("a question ended without an event")),
    };
    let (forward, events) = mpsc::channel(EVENTS_WAITING_MAX);
    tokio::spawn(pass_on(first, receiver, forward));
    Ok(stream::events(events, guard))
}

type Told = Result<Event, Problem>;

/// Runs the question on this thread; a client that no longer listens cancels it.
fn answer_to(
    state: &AppState,
    who: &Authenticated,
    question: &Question,
    cancel: &CancelFlag,
    sender: &mpsc::Sender<Told>,
) {
    let tell = |event| {
        if sender.blocking_send(Ok(event)).is_err() {
            cancel.cancel();
        }
    };
    let answered = state.appliance.ask(&who.caller, question, cancel, &mut |event| tell(on_the_wire(event)));
    match answered {
        Ok(answer) => {
            state.metrics.asked(answer.state.as_str());
            tell(stream::event("done", &Answer::from(answer)));
        }
        Err(error) => {
            let state_word = if cancel.is_cancelled() { "cancelled" } else { "failed" };
            state.metrics.asked(state_word);
            let _ = sender.blocking_send(Err(error.into()));
        }
    }
}

fn on_the_wire(event: AskEvent) -> Event {
    match event {
        AskEvent::Retrieved { passages, coverage } => {
            let passages = passages.into_iter().map(Into::into).collect();
            stream::event("retrieved", &RetrievedEvent { passages, coverage: coverage.into() })
        }
        AskEvent::Waiting { ahead } => stream::event("waiting", &WaitingEvent { ahead }),
        AskEvent::Reading { done, total } => stream::event("reading", &ReadingEvent { done, total }),
        AskEvent::Token(text) => stream::event("token", &TokenEvent { text }),
        AskEvent::Citation(citation) => stream::event("citation", &Citation::from(citation)),
    }
}

/// Passes events on; a problem after the first event becomes the event `error`.
async fn pass_on(first: Event, mut receiver: mpsc::Receiver<Told>, forward: mpsc::Sender<Event>) {
    let mut next = Some(Ok(first));
    while let Some(told) = next {
        let event = told.unwrap_or_else(|problem| stream::event("error", &problem));
        if forward.send(event).await.is_err() {
            return;
        }
        next = receiver.recv().await;
    }
}

/// An answer as it was given
#[utoipa::path(get, path = "/answers/{audit}", tag = "ask", params(("audit" = u64, Path, description = "Number of the receipt")),
    responses((status = 200, description = "The answer", body = Answer)))]
pub(super) async fn answer(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(audit): Parameters<u64>,
) -> Result<Json<Answer>, Problem> {
    let answer = state.run(move |appliance| appliance.answer(&who.caller, audit)).await?;
    Ok(Json(answer.into()))
}
