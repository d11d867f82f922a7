//! Set-up, sessions, users, keys.

use axum::Json;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderName, StatusCode};
use axum::response::IntoResponse;
use cloister_appliance::{Login, NewUser, Role};

use crate::auth::{Address, Authenticated, ended_cookie, session_cookie};
use crate::extract::{Body, Parameters};
use crate::problem::Problem;
use crate::state::{AppState, Lane};
use crate::wire::{
    Key, KeyBody, Keys, LoginBody, NewUserBody, PasswordBody, SecretKey, Session, SetupBody, SetupState, User, Users,
};

type Signed = ([(HeaderName, String); 1], Json<Session>);

fn signed(state: &AppState, login: Login) -> Signed {
    let cookie = session_cookie(&login.token, state.secure_cookie);
    ([(SET_COOKIE, cookie)], Json(Session { user: login.user.into(), csrf: login.csrf }))
}

/// Whether the first administrator is still to be made
#[utoipa::path(get, path = "/setup", tag = "session", security(()), responses((status = 200, description = "State", body = SetupState)))]
pub(super) async fn setup_state(State(state): State<AppState>) -> Result<Json<SetupState>, Problem> {
    let needed = state.run(|appliance| appliance.setup_needed()).await?;
    Ok(Json(SetupState { needed }))
}

/// Makes the first administrator, with the one-time code from the server's console, and signs them in
#[utoipa::path(post, path = "/setup", tag = "session", security(()), request_body = SetupBody,
    responses((status = 200, description = "Signed in; sets the session cookie", body = Session)))]
pub(super) async fn set_up(
    State(state): State<AppState>,
    Address(address): Address,
    Body(body): Body<SetupBody>,
) -> Result<Signed, Problem> {
    let login = state
        .run_in(Lane::Accounts, move |appliance| appliance.set_up(&body.code, &body.name, &body.password, &address))
        .await?;
    Ok(signed(&state, login))
}

/// Opens a session
#[utoipa::path(post, path = "/login", tag = "session", security(()), request_body = LoginBody,
    responses((status = 200, description = "Signed in; sets the session cookie", body = Session)))]
pub(super) async fn login(
    State(state): State<AppState>,
    Address(address): Address,
    Body(body): Body<LoginBody>,
) -> Result<Signed, Problem> {
    let login =
        state.run_in(Lane::Accounts, move |appliance| appliance.login(&body.name, &body.password, &address)).await?;
    Ok(signed(&state, login))
}

/// Ends the session
#[utoipa::path(post, path = "/logout", tag = "session", responses((status = 204, description = "Signed out")))]
pub(super) async fn logout(State(state): State<AppState>, who: Authenticated) -> Result<impl IntoResponse, Problem> {
    if let Some(token) = who.token {
        state.run(move |appliance| appliance.logout(&who.caller, &token)).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, ended_cookie(state.secure_cookie))]))
}

/// Who is signed in
#[utoipa::path(get, path = "/session", tag = "session", responses((status = 200, description = "The session", body = Session)))]
pub(super) async fn session(who: Authenticated) -> Result<Json<Session>, Problem> {
    let user = who.user.ok_or_else(|| Problem::not_found("there is no session"))?;
    Ok(Json(Session { user: user.into(), csrf: who.csrf }))
}

/// All users
#[utoipa::path(get, path = "/users", tag = "users", responses((status = 200, description = "Users", body = Users)))]
pub(super) async fn users(State(state): State<AppState>, who: Authenticated) -> Result<Json<Users>, Problem> {
    let users = state.run(move |appliance| appliance.users(&who.caller)).await?;
    Ok(Json(Users { users: users.into_iter().map(User::from).collect() }))
}

/// Adds a user
#[utoipa::path(post, path = "/users", tag = "users", request_body = NewUserBody,
    responses((status = 201, description = "The user", body = User)))]
pub(super) async fn add_user(
    State(state): State<AppState>,
    who: Authenticated,
    Body(body): Body<NewUserBody>,
) -> Result<(StatusCode, Json<User>), Problem> {
    let role = Role::parse(&body.role)
        .ok_or_else(|| Problem::invalid("role must be one of administrator, auditor, member"))?;
    let user = NewUser { name: body.name, role, password: body.password };
    let added = state.run_in(Lane::Accounts, move |appliance| appliance.add_user(&who.caller, &user)).await?;
    Ok((StatusCode::CREATED, Json(added.into())))
}

/// Shuts a user out and ends their sessions
#[utoipa::path(post, path = "/users/{id}/disable", tag = "users", params(("id" = String, Path, description = "Id or name")),
    responses((status = 204, description = "Shut out")))]
pub(super) async fn disable_user(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(id): Parameters<String>,
) -> Result<StatusCode, Problem> {
    state.run(move |appliance| appliance.disable_user(&who.caller, &id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sets a password and ends the user's sessions
#[utoipa::path(post, path = "/users/{id}/password", tag = "users", params(("id" = String, Path, description = "Id or name")),
    request_body = PasswordBody, responses((status = 204, description = "Set")))]
pub(super) async fn set_password(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(id): Parameters<String>,
    Body(body): Body<PasswordBody>,
) -> Result<StatusCode, Problem> {
    state.run_in(Lane::Accounts, move |appliance| appliance.set_password(&who.caller, &id, &body.password)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The caller's API keys; an administrator sees all
#[utoipa::path(get, path = "/keys", tag = "keys", responses((status = 200, description = "Keys", body = Keys)))]
pub(super) async fn keys(State(state): State<AppState>, who: Authenticated) -> Result<Json<Keys>, Problem> {
    let keys = state.run(move |appliance| appliance.keys(&who.caller)).await?;
    Ok(Json(Keys { keys: keys.into_iter().map(Key::from).collect() }))
}

/// Makes a key that acts for the caller
#[utoipa::path(post, path = "/keys", tag = "keys", request_body = KeyBody,
    responses((status = 201, description = "The key, shown this once", body = SecretKey)))]
pub(super) async fn add_key(
    State(state): State<AppState>,
    who: Authenticated,
    Body(body): Body<KeyBody>,
) -> Result<(StatusCode, Json<SecretKey>), Problem> {
    let made = state.run(move |appliance| appliance.add_key(&who.caller, &body.label, None)).await?;
    Ok((StatusCode::CREATED, Json(SecretKey { id: made.id, key: made.key })))
}

/// Revokes a key
#[utoipa::path(delete, path = "/keys/{id}", tag = "keys", params(("id" = String, Path)),
    responses((status = 204, description = "Revoked")))]
pub(super) async fn revoke_key(
    State(state): State<AppState>,
    who: Authenticated,
    Parameters(id): Parameters<String>,
) -> Result<StatusCode, Problem> {
    state.run(move |appliance| appliance.revoke_key(&who.caller, &id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
