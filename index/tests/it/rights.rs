//! What is not granted answers exactly like what does not exist.

use cloister_index::{
    Actor, CollectionId, DocumentId, IndexError, JobFilter, Level, Mode, NewUser, Role, SearchRequest, Store, User,
    Visible,
};
use proptest::prelude::*;

use crate::help::{Lot, Room, add_in, request};

fn member(store: &Store, name: &str) -> User {
    store.add_user(&NewUser { name: name.to_owned(), role: Role::Member, password_hash: String::new() }).unwrap()
}

fn eyes(store: &Store, user: &User) -> Visible {
    store.visible(&Actor::User(user.id.clone())).unwrap()
}

#[test]
fn every_way_in_asks_for_the_right() {
    let room = Room::new();
    let store = &room.store;
    let id = room.add("secret.txt", &["the hidden treasure"]);
    let anna = member(store, "anna");
    let none = eyes(store, &anna);
    let nowhere = DocumentId::parse("aaaaaaaaaaaaaaaa").unwrap();
    let no_collection = CollectionId::parse("aaaaaaaaaaaaaaaa").unwrap();
    for what in [&id, &nowhere] {
        let errors = [
            store.document(&none, what.as_str(), None).unwrap_err().to_string(),
            store.text(&none, what).unwrap_err().to_string(),
            store.page(&none, what, 1).unwrap_err().to_string(),
            store.boxes(&none, what, 0, 5).unwrap_err().to_string(),
            store.ledger(&none, what).unwrap_err().to_string(),
            store.versions(&none, what).unwrap_err().to_string(),
            store.original(&none, what).unwrap_err().to_string(),
            store.retry(&none, what).unwrap_err().to_string(),
            store.remove_document(&none, what).unwrap_err().to_string(),
            store
                .search(&none, &SearchRequest { documents: vec![what.clone()], ..request("treasure", Mode::Hybrid) })
                .unwrap_err()
                .to_string(),
        ];
        assert!(errors.iter().all(|e| e == "no such document"), "{errors:?}");
    }
    for what in [&room.collection.id, &no_collection] {
        let errors = [
            store.collection(&none, what).unwrap_err().to_string(),
            store.list_documents(&none, what, None, 10).unwrap_err().to_string(),
            store.grants(&none, what).unwrap_err().to_string(),
            store.grant(&none, what, &anna.id, Level::Manage).unwrap_err().to_string(),
            store.remove_collection(&none, what).unwrap_err().to_string(),
            store.coverage(&none, Some(what), &[]).unwrap_err().to_string(),
            store
                .search(&none, &SearchRequest { collection: Some(what.clone()), ..request("treasure", Mode::Hybrid) })
                .unwrap_err()
                .to_string(),
        ];
        assert!(errors.iter().all(|e| e == "no such collection"), "{errors:?}");
    }
    assert!(store.document(&none, "secret.txt", None).is_err());
    assert!(store.collection_by_name(&none, "contracts").is_err());
    assert!(store.list_collections(&none).unwrap().is_empty());
    assert!(store.jobs(&none, &JobFilter::default()).unwrap().is_empty());
    assert_eq!(store.coverage(&none, None, &[]).unwrap().documents, 0);
    for mode in [Mode::Keyword, Mode::Vector, Mode::Hybrid] {
        assert!(store.search(&none, &request("hidden treasure", mode)).unwrap().hits.is_empty());
    }
}

#[test]
fn levels_build_on_one_another() {
    let room = Room::new();
    let store = &room.store;
    let id = room.add("x.txt", &["alpha"]);
    let anna = member(store, "anna");
    let collection = &room.collection.id;
    store.grant(&room.all, collection, &anna.id, Level::Read).unwrap();
    let reads = eyes(store, &anna);
    assert_eq!(store.search(&reads, &request("alpha", Mode::Hybrid)).unwrap().hits.len(), 1);
    assert!(matches!(store.remove_document(&reads, &id), Err(IndexError::Refused { needed: "write" })));
    assert!(matches!(store.grants(&reads, collection), Err(IndexError::Refused { needed: "manage" })));
    store.grant(&room.all, collection, &anna.id, Level::Manage).unwrap();
    // A snapshot gives no more than it held, even when more is granted meanwhile.
    assert!(matches!(store.remove_document(&reads, &id), Err(IndexError::Refused { .. })));
    let manages = eyes(store, &anna);
    assert!(manages.may(collection, Level::Write));
    assert_eq!(store.grants(&manages, collection).unwrap().len(), 1);
    store.revoke(&manages, collection, &anna.id).unwrap();
    // ... and no more than is granted now.
    assert!(store.search(&manages, &request("alpha", Mode::Hybrid)).unwrap().hits.is_empty());
    assert!(store.text(&manages, &id).is_err());
}

#[test]
fn a_disabled_user_sees_nothing_and_an_administrator_everything() {
    let room = Room::new();
    let store = &room.store;
    room.add("x.txt", &["alpha"]);
    let boss = store
        .add_user(&NewUser { name: "boss".into(), role: Role::Administrator, password_hash: String::new() })
        .unwrap();
    let sees = eyes(store, &boss);
    assert_eq!(store.search(&sees, &request("alpha", Mode::Keyword)).unwrap().hits.len(), 1);
    store.set_disabled(&boss.id, true).unwrap();
    assert!(store.search(&sees, &request("alpha", Mode::Keyword)).unwrap().hits.is_empty());
    assert_eq!(eyes(store, &boss).collections().count(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever is granted to whom: a search finds everything that is granted, and nothing else.
    #[test]
    fn no_hit_leaks_and_none_is_lost(seed in any::<u64>()) {
        let mut lot = Lot(seed);
        let room = Room::new();
        let store = &room.store;
        let collections: Vec<CollectionId> =
            (0..4).map(|n| store.add_collection(&format!("c{n}")).unwrap().id).collect();
        let all = store.visible(&Actor::Operator).unwrap();
        let mut documents = Vec::new();
        for n in 0..12_u64 {
            let collection = &collections[lot.below(4) as usize];
            let text = format!("shared word number {n} and {}", lot.below(3));
            documents.push((add_in(store, &all, collection, &format!("d{n}"), &[&text]), collection.clone()));
        }
        for n in 0..4 {
            let user = member(store, &format!("u{n}"));
            let mut granted = Vec::new();
            for collection in &collections {
                if lot.below(2) == 0 {
                    store.grant(&all, collection, &user.id, Level::Read).unwrap();
                    granted.push(collection.clone());
                }
            }
            let sees = eyes(store, &user);
            for mode in [Mode::Keyword, Mode::Vector, Mode::Hybrid] {
                let wanted = SearchRequest { limit: 100, ..request("shared word number", mode) };
                let mut found: Vec<DocumentId> =
                    store.search(&sees, &wanted).unwrap().hits.into_iter().map(|h| h.document).collect();
                let mut expected: Vec<DocumentId> =
                    documents.iter().filter(|(_, c)| granted.contains(c)).map(|(d, _)| d.clone()).collect();
                found.sort();
                expected.sort();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
