//! What is found, and that nothing asked is ever an error.

use cloister_index::{IndexError, Mode, SearchRequest};

use crate::help::{Room, request, vector};

fn library() -> Room {
    let room = Room::new();
    room.add(
        "lease.txt",
        &[
            "Section 4.2 Notice. Either party may terminate by written notice of thirty (30) days.",
            "The rent of $1,250,000.00 is due on 2024-01-15 under § 12 of the lease.",
            "Confidential Information means what is marked as such.",
        ],
    );
    room.add(
        "policy.txt",
        &["Employees terminated for cause get no notice.\n\nKündigung binnen 14 Tagen. 契約書 の 解除"],
    );
    room
}

#[track_caller]
fn first(room: &Room, query: &str, expected: &str) {
    let found = room.keyword(query);
    assert!(found.first().is_some_and(|text| text.contains(expected)), "{query:?} found {found:?}");
}

#[test]
fn numbers_sections_dates_and_other_scripts_are_found() {
    let room = library();
    first(&room, "4.2", "Section 4.2");
    first(&room, "§ 4.2", "Section 4.2");
    first(&room, "section 12", "§ 12");
    first(&room, "2024-01-15", "2024-01-15");
    first(&room, "1250000.00", "$1,250,000.00");
    first(&room, "$1,250,000.00", "$1,250,000.00");
    assert_eq!(room.keyword("terminating").len(), 2, "words are stemmed");
    first(&room, "kundigung", "Kündigung");
    first(&room, "契約書", "契約書");
    first(&room, "policy cause", "for cause");
}

#[test]
fn quotation_marks_ask_for_the_very_words() {
    let room = library();
    assert_eq!(room.keyword("\"written notice\"").len(), 1);
    assert!(room.keyword("\"notice written\"").is_empty());
    assert!(room.keyword("\"terminates by\"").is_empty(), "a phrase is not stemmed");
    assert_eq!(room.keyword("\"terminate by written notice of thirty (30) days\"").len(), 1);
    assert_eq!(room.keyword("“marked as such” notice").len(), 1);
    assert_eq!(room.keyword("\"of the\"").len(), 1);
    // In a hybrid search a phrase comes first, and the rest follows.
    let hybrid = room
        .store
        .search(&room.all, &SearchRequest { vector: None, ..request("\"written notice\" cause", Mode::Hybrid) });
    let hybrid = crate::help::texts(&hybrid.unwrap());
    assert!(hybrid[0].contains("written notice") && hybrid.len() > 1, "{hybrid:?}");
}

#[test]
fn any_input_gives_an_answer() {
    let room = library();
    let long = "notice AND (rent OR \"".repeat(5_000);
    let binary: String = (0..2_000_u32).filter_map(|n| char::from_u32(n * 37)).collect();
    for query in [
        "",
        " ",
        "\u{0}",
        "\u{1}\u{2}\u{7f}",
        "AND OR NOT",
        "text:*",
        "\"",
        "\"\"",
        "((((",
        "a:b:c",
        "[1 TO",
        "*",
        "?",
        "~1^9",
        "\\",
        "'; DROP TABLE users;--",
        "🙂🙂",
        "e\u{301}",
        "\u{202e}abc",
        "ß",
        "I\u{307}",
        &long,
        &binary,
    ] {
        for mode in [Mode::Keyword, Mode::Vector, Mode::Hybrid] {
            let found = room.store.search(&room.all, &request(query, mode)).unwrap();
            assert!(found.hits.len() <= 10);
        }
    }
    assert!(!room.keyword(&long).is_empty() || long.contains('"'));
    assert!(room.keyword("").is_empty());
}

#[test]
fn limits_and_wrong_requests_are_told() {
    let room = library();
    let ask = |change: &dyn Fn(&mut SearchRequest)| {
        let mut wanted = request("notice", Mode::Hybrid);
        change(&mut wanted);
        room.store.search(&room.all, &wanted)
    };
    assert!(matches!(ask(&|r| r.limit = 0), Err(IndexError::Limit { .. })));
    assert!(matches!(ask(&|r| r.limit = 1_001), Err(IndexError::Limit { .. })));
    assert!(matches!(ask(&|r| r.vector = Some(vec![1.0])), Err(IndexError::Invalid { .. })));
    assert!(matches!(ask(&|r| r.vector.as_mut().unwrap()[0] = f32::NAN), Err(IndexError::Invalid { .. })));
    assert!(matches!(ask(&|r| (r.vector, r.mode) = (None, Mode::Vector)), Err(IndexError::Invalid { .. })));
    assert_eq!(ask(&|r| r.vector = None).unwrap().hits.len(), 2);
}

#[test]
fn a_search_stays_within_its_documents() {
    let room = library();
    let lease = room.store.document(&room.all, "lease.txt", None).unwrap().id;
    for mode in [Mode::Keyword, Mode::Vector, Mode::Hybrid] {
        let wanted = SearchRequest { documents: vec![lease.clone()], ..request("terminated notice", mode) };
        let found = room.store.search(&room.all, &wanted).unwrap();
        assert!(!found.hits.is_empty() && found.hits.iter().all(|hit| hit.document == lease), "{mode:?}");
    }
}

#[test]
fn the_same_question_gives_the_same_bytes_also_after_a_rebuild() {
    let room = library();
    for n in 0..30 {
        room.add(&format!("copy{n}.txt"), &[&format!("the same words each time {} of {n}", n % 3)]);
    }
    let queries = ["same words", "notice", "each time 2"];
    let answers = |room: &Room| -> Vec<_> {
        [Mode::Keyword, Mode::Vector, Mode::Hybrid]
            .into_iter()
            .flat_map(|mode| queries.iter().map(move |query| (mode, *query)))
            .map(|(mode, query)| room.find(query, mode))
            .collect()
    };
    let before = answers(&room);
    assert_eq!(before, answers(&room));
    let room = room.again();
    assert_eq!(before, answers(&room));
    std::fs::remove_dir_all(room.dir.path().join("keyword")).unwrap();
    std::fs::remove_dir_all(room.dir.path().join("vectors")).unwrap();
    let room = room.again();
    assert_eq!(before, answers(&room));
}

#[test]
fn the_vector_decides_where_words_do_not() {
    let room = Room::new();
    for text in ["red apples grow", "green pears grow", "blue plums grow"] {
        room.add(text, &[text]);
    }
    let wanted = SearchRequest { vector: Some(vector("green pears grow")), ..request("nothing of this", Mode::Hybrid) };
    let found = room.store.search(&room.all, &wanted).unwrap();
    assert_eq!(found.hits[0].text, "green pears grow");
    let near = room.store.search(&room.all, &SearchRequest { mode: Mode::Vector, ..wanted }).unwrap();
    assert!((near.hits[0].score - 1.0).abs() < 1e-5, "full precision: {}", near.hits[0].score);
}
