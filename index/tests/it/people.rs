//! Users, sessions, keys and settings.

use cloister_index::{IndexError, NewSession, NewUser, Role};

use crate::help::Room;

fn user(name: &str) -> NewUser {
    NewUser { name: name.to_owned(), role: Role::Member, password_hash: "hash".to_owned() }
}

#[test]
fn names_are_unique_without_regard_to_case() {
    let room = Room::new();
    let anna = room.store.add_user(&user("Anna")).unwrap();
    assert!(matches!(room.store.add_user(&user("ANNA")), Err(IndexError::Exists { .. })));
    assert_eq!(room.store.user_by_name("anna").unwrap().unwrap(), anna);
    assert_eq!(room.store.user(&anna.id).unwrap().name, "Anna");
    for bad in ["", " x", "a\nb"] {
        assert!(matches!(room.store.add_user(&user(bad)), Err(IndexError::Invalid { .. })), "{bad:?}");
    }
    let nora = room.store.add_user(&NewUser { role: Role::Auditor, ..user("nora") }).unwrap();
    assert_eq!(
        room.store.list_users().unwrap().into_iter().map(|u| u.role).collect::<Vec<_>>(),
        [Role::Member, nora.role]
    );
}

#[test]
fn sessions_end_with_time_password_and_disabling() {
    let room = Room::new();
    let anna = room.store.add_user(&user("anna")).unwrap();
    let keep = |token: &str, expires: &str| {
        let csrf = format!("csrf-{token}");
        let session =
            NewSession { token_hash: token.to_owned(), user: anna.id.clone(), csrf, expires: expires.to_owned() };
        room.store.add_session(&session).unwrap();
    };
    let live = |token: &str| room.store.session(token).unwrap().is_some();
    keep("old", "2026-01-01T00:00:00.000Z");
    assert!(!live("old"));
    keep("a", "2027-01-01T00:00:00.000Z");
    assert_eq!(room.store.session("a").unwrap().unwrap().csrf, "csrf-a");
    room.store.set_password(&anna.id, "new").unwrap();
    assert!(!live("a"));
    keep("b", "2027-01-01T00:00:00.000Z");
    room.store.remove_session("b").unwrap();
    assert!(!live("b"));
    keep("c", "2027-01-01T00:00:00.000Z");
    room.store.set_disabled(&anna.id, true).unwrap();
    room.store.set_disabled(&anna.id, false).unwrap();
    assert!(!live("c"));
}

#[test]
fn keys_open_until_revoked_or_their_owner_is_disabled() {
    let room = Room::new();
    let anna = room.store.add_user(&user("anna")).unwrap();
    let key = room.store.add_key(&anna.id, "laptop", "hash-1").unwrap();
    let (found, owner) = room.store.key("hash-1").unwrap().unwrap();
    assert_eq!((found.id, owner.id), (key.id.clone(), anna.id.clone()));
    assert!(room.store.list_keys(Some(&anna.id)).unwrap()[0].last_used.is_some());
    room.store.set_disabled(&anna.id, true).unwrap();
    assert!(room.store.key("hash-1").unwrap().is_none());
    room.store.set_disabled(&anna.id, false).unwrap();
    room.store.revoke_key(&key.id).unwrap();
    assert!(room.store.key("hash-1").unwrap().is_none());
    assert!(room.store.list_keys(None).unwrap()[0].revoked);
}

#[test]
fn settings_stay() {
    let room = Room::new();
    assert_eq!(room.store.setting("model").unwrap(), None);
    room.store.set_setting("model", "a").unwrap();
    room.store.set_setting("model", "b").unwrap();
    let room = room.again();
    assert_eq!(room.store.setting("model").unwrap().as_deref(), Some("b"));
}
