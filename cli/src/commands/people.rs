//! `user` and `key`.

use std::sync::Arc;

use anyhow::Result;
use cloister_appliance::{Appliance, NewUser, Role};
use cloister_web::wire;
use serde_json::json;

use crate::args::{KeyCommand, UserCommand};
use crate::context::{Context, Outcome, Usage};

pub(super) fn user(command: &UserCommand, appliance: &Arc<Appliance>, ctx: &mut Context<'_>) -> Result<Outcome> {
    let caller = ctx.caller.clone();
    match command {
        UserCommand::Add { name, role, .. } => {
            let known = Role::parse(role)
                .ok_or_else(|| Usage(format!("no role {role}; there are administrator, auditor and member")))?;
            let user = NewUser { name: name.clone(), role: known, password: ctx.password()? };
            let line = wire::User::from(appliance.add_user(&caller, &user)?);
            ctx.give(&line, || format!("{}  {}", line.id, line.name))?;
        }
        UserCommand::List => {
            for info in appliance.users(&caller)? {
                let line = wire::User::from(info);
                ctx.give(&line, || {
                    format!(
                        "{}  {:13}  {}{}",
                        line.id,
                        line.role,
                        line.name,
                        if line.disabled { "  (disabled)" } else { "" }
                    )
                })?;
            }
        }
        UserCommand::Disable { name } => {
            appliance.disable_user(&caller, name)?;
            ctx.give(&json!({"user": name, "disabled": true}), || format!("{name} is shut out"))?;
        }
        UserCommand::Password { name, .. } => {
            let password = ctx.password()?;
            appliance.set_password(&caller, name, &password)?;
            ctx.give(&json!({"user": name, "password": "set"}), || format!("the password of {name} is set"))?;
        }
    }
    Ok(Outcome::Done)
}

pub(super) fn key(command: &KeyCommand, appliance: &Arc<Appliance>, ctx: &mut Context<'_>) -> Result<Outcome> {
    let caller = ctx.caller.clone();
    match command {
        KeyCommand::Add { label, user } => {
            let made = appliance.add_key(&caller, label, Some(user))?;
            ctx.give(&json!({"id": made.id, "key": made.key}), || {
                format!("{}\n{}\nThe key is shown this once.", made.id, made.key)
            })?;
        }
        KeyCommand::List => {
            for info in appliance.keys(&caller)? {
                let line = wire::Key::from(info);
                ctx.give(&line, || format!("{}  {}  {}", line.id, line.created, line.label))?;
            }
        }
        KeyCommand::Revoke { id } => {
            appliance.revoke_key(&caller, id)?;
            ctx.give(&json!({"id": id, "revoked": true}), || format!("{id} is revoked"))?;
        }
    }
    Ok(Outcome::Done)
}
