//! Asking, with the small models.

use cloister_appliance::{
    Answer, AnswerState, AskEvent, Caller, CancelFlag, Error, ErrorKind, Level, ModelState, Question, Role, SearchMode,
    SearchQuery,
};

use crate::support::{CONTRACT, Fixture, NOTE, models, operator};

fn question(text: &str) -> Question {
    Question { collection: Some("c".to_owned()), text: text.to_owned(), ..Default::default() }
}

#[test]
fn an_answer_rests_on_quotes_and_has_a_receipt() {
    let Some(models) = models("an_answer_rests_on_quotes_and_has_a_receipt") else { return };
    let fixture = Fixture::with_models(&models);
    let app = fixture.app();
    fixture.ingest("c", &[("supply.txt", CONTRACT.as_bytes()), ("note.txt", NOTE.as_bytes())]);
    let mut events = Vec::new();
    let asked = question("Which law governs the agreement?");
    let answer = app.ask(&operator(), &asked, &CancelFlag::new(), &mut |event| events.push(event)).unwrap();
    assert!(matches!(events.first(), Some(AskEvent::Retrieved { .. })), "evidence comes first");
    assert_eq!(answer.state, AnswerState::Answered, "{answer:?}");
    let chars: Vec<char> = CONTRACT.chars().collect();
    for citation in &answer.citations {
        assert_eq!(citation.name, "supply.txt");
        let stored: String = chars[citation.start as usize..citation.end as usize].iter().collect();
        assert_eq!(citation.quote, stored);
        assert!(answer.answer.contains(&format!("[{}]", citation.marker)), "{}", answer.answer);
    }
    assert!(!answer.citations.is_empty(), "{answer:?}");
    assert_eq!(answer.model.sha256.len(), 64);
    let kept = app.answer(&operator(), answer.audit).unwrap();
    assert_eq!((&kept.answer, &kept.citations, kept.state), (&answer.answer, &answer.citations, answer.state));
    assert_eq!(
        kept.passages.iter().map(|p| &p.text).collect::<Vec<_>>(),
        answer.passages.iter().map(|p| &p.text).collect::<Vec<_>>()
    );
    let again = app.ask(&operator(), &asked, &CancelFlag::new(), &mut |_| ()).unwrap();
    assert_eq!(
        (&again.answer, &again.citations),
        (&answer.answer, &answer.citations),
        "the same question, the same bytes"
    );
    assert!(again.timings.cached_tokens > answer.timings.cached_tokens, "passages are read once");
}

#[test]
fn nothing_is_said_where_nothing_is_known() {
    let Some(models) = models("nothing_is_said_where_nothing_is_known") else { return };
    let fixture = Fixture::with_models(&models);
    let app = fixture.app();
    app.add_collection(&operator(), "c").unwrap();
    let empty = app.ask(&operator(), &question("Which law governs?"), &CancelFlag::new(), &mut |_| ()).unwrap();
    assert_eq!((empty.state, empty.answer.as_str()), (AnswerState::Nothing, ""));
    fixture.ingest("c", &[("note.txt", NOTE.as_bytes()), ("bad.pdf", b"%PDF-1.7\nnot really")]);
    let member = fixture.user("ada", Role::Member).caller;
    let refused = app.ask(&member, &question("What was served?"), &CancelFlag::new(), &mut |_| ());
    assert!(matches!(refused, Err(Error::NotFound { .. })), "a collection that is not granted is not there");
    let cancelled = CancelFlag::new();
    cancelled.cancel();
    let stopped = app.ask(&operator(), &question("What was served?"), &cancelled, &mut |_| ());
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert!(fixture.actions().iter().any(|action| action == "answer failed"));
}

#[test]
fn vectors_find_what_words_do_not() {
    let Some(models) = models("vectors_find_what_words_do_not") else { return };
    let fixture = Fixture::with_models(&models);
    fixture.ingest("c", &[("supply.txt", CONTRACT.as_bytes()), ("note.txt", NOTE.as_bytes())]);
    let query =
        SearchQuery { text: "beverages and flowers".to_owned(), mode: SearchMode::Vector, ..Default::default() };
    let found = fixture.app().search(&operator(), &query).unwrap();
    assert_eq!(found.passages[0].name, "note.txt");
}

#[test]
fn the_usual_model_answers_and_abstains() {
    let usual = "qwen2.5-coder-1.5b-instruct-q4_k_m";
    let Some(models) = models("the_usual_model_answers_and_abstains") else { return };
    if !models.join(usual).is_dir() {
        eprintln!("passed over: the_usual_model_answers_and_abstains (the model {usual} is not there)");
        return;
    }
    let fixture = Fixture::with_models(&models);
    fixture.ingest("c", &[("supply.txt", CONTRACT.as_bytes()), ("note.txt", NOTE.as_bytes())]);
    let ask = |text: &str| {
        let asked = Question { model: Some(usual.to_owned()), ..question(text) };
        fixture.app().ask(&operator(), &asked, &CancelFlag::new(), &mut |_| ()).unwrap()
    };
    for (text, said, quoted) in [
        ("Which law governs the agreement?", "Delaware", "State of Delaware"),
        ("How many days of notice are needed to terminate the agreement?", "30", "thirty (30) days"),
        ("What is the price of a shipment of paper?", "$4,500", "$4,500"),
    ] {
        let answer = ask(text);
        assert_eq!(answer.state, AnswerState::Answered, "{text}: {answer:?}");
        let said_it = answer.answer.contains(said) || answer.answer.contains("thirty");
        assert!(
            said_it && answer.citations.iter().any(|citation| citation.quote.contains(quoted)),
            "{text}: {answer:?}"
        );
    }
    let answer = ask("Who is insured against fire, and for which sum?");
    assert!(answer.abstained() && answer.answer.is_empty(), "{answer:?}");
}

#[test]
fn an_embedder_that_comes_while_it_runs_is_used() {
    let Some(models) = models("an_embedder_that_comes_while_it_runs_is_used") else { return };
    let own = tempfile::tempdir().unwrap();
    let fixture = Fixture::with_models(own.path());
    let app = fixture.app();
    fixture.ingest("c", &[("supply.txt", CONTRACT.as_bytes())]);
    let query = SearchQuery { text: "which law governs".to_owned(), mode: SearchMode::Vector, ..Default::default() };
    assert!(app.search(&operator(), &query).is_err(), "there is no embedder yet");
    let name = "all-minilm-l6-v2";
    std::os::unix::fs::symlink(models.join(name), own.path().join(name)).unwrap();
    let added = fixture.ingest("c", &[("note.txt", NOTE.as_bytes())]);
    assert_eq!(added[0].status, "added", "{added:?}");
    let names = || -> Vec<String> {
        let found = app.search(&operator(), &query).unwrap().passages;
        found.into_iter().map(|passage| passage.name).collect()
    };
    assert!(names().contains(&"note.txt".to_owned()));
    // What was stored before gets its vectors from the workers as soon as they are idle.
    app.start_workers();
    let begun = std::time::Instant::now();
    while names()[0] != "supply.txt" && begun.elapsed() < std::time::Duration::from_mins(1) {
        std::thread::yield_now();
    }
    app.shutdown();
    assert_eq!(names()[0], "supply.txt");
    let check = app.doctor().into_iter().find(|check| check.name == "vectors").unwrap();
    assert!(check.ok, "{check:?}");
}

#[test]
fn a_document_that_changes_during_a_question_is_a_conflict() {
    let Some(models) = models("a_document_that_changes_during_a_question_is_a_conflict") else { return };
    let fixture = Fixture::with_models(&models);
    let app = fixture.app();
    fixture.ingest("c", &[("supply.txt", CONTRACT.as_bytes())]);
    let asked = question("Which law governs the agreement?");
    let kept = app.ask(&operator(), &asked, &CancelFlag::new(), &mut |_| ()).unwrap();
    assert_eq!(kept.state, AnswerState::Answered);
    let changed = format!("A NEW FIRST LINE\n\n{CONTRACT}");
    let error = app
        .ask(&operator(), &asked, &CancelFlag::new(), &mut |event| {
            if matches!(event, AskEvent::Retrieved { .. }) {
                fixture.ingest("c", &[("supply.txt", changed.as_bytes())]);
            }
        })
        .unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "changed"));
    assert_eq!(error.to_string(), "supply.txt changed while it was read: ask again");
    // The receipt of the first answer shows its own words and its own version, and nothing of the other.
    let again = app.answer(&operator(), kept.audit).unwrap();
    assert_eq!((&again.answer, again.citations.len()), (&kept.answer, kept.citations.len()));
    assert_eq!(again.citations[0].quote, kept.citations[0].quote);
    assert!(again.citations.iter().all(|citation| citation.version == Some(1) && citation.verified), "{again:?}");
    assert_eq!((&again.citations, again.passages[0].version), (&kept.citations, 1));
    let texts = |answer: &Answer| answer.passages.iter().map(|passage| passage.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&again), texts(&kept));
    // Of a removed document the quote is left, which nothing verifies any more.
    app.remove_document(&operator(), "supply.txt", Some("c")).unwrap();
    let alone = app.answer(&operator(), kept.audit).unwrap();
    assert_eq!(alone.citations[0].quote, kept.citations[0].quote);
    assert!(alone.citations.iter().all(|citation| !citation.verified && citation.boxes.is_empty()), "{alone:?}");
    assert!(alone.passages.iter().all(|passage| passage.text.is_empty()));
}

#[test]
fn a_user_cannot_put_the_answering_model_out_of_its_place() {
    let Some(models) = models("a_user_cannot_put_the_answering_model_out_of_its_place") else { return };
    let fixture = Fixture::with_models(&models);
    let app = fixture.app();
    fixture.ingest("c", &[("supply.txt", CONTRACT.as_bytes())]);
    let member = fixture.user("ada", Role::Member).caller;
    app.grant(&operator(), "c", "ada", Level::Read).unwrap();
    app.warm().unwrap();
    let ask = |caller: &Caller, model: &str| {
        let asked = Question { model: Some(model.to_owned()), ..question("Which law governs the agreement?") };
        app.ask(caller, &asked, &CancelFlag::new(), &mut |_| ()).map(|answer| answer.model.name)
    };
    for (model, kind) in [
        ("all-minilm-l6-v2", ErrorKind::Invalid),
        ("no-such-model", ErrorKind::Invalid),
        ("../models/x.gguf", ErrorKind::Denied),
    ] {
        assert_eq!(ask(&member, model).unwrap_err().kind(), kind, "{model}");
    }
    // The operator may name anything; what cannot answer is told before the model in use is let go.
    let odd = fixture.dir.path().join("odd.gguf");
    std::fs::write(&odd, b"GGUF and no more").unwrap();
    for model in ["all-minilm-l6-v2", odd.to_str().unwrap()] {
        assert_eq!(ask(&operator(), model).unwrap_err().code(), "model_unavailable", "{model}");
    }
    assert_eq!(app.readiness().generator.state, ModelState::Ready);
    assert_eq!(ask(&member, "smollm2-135m-instruct-q4_1").unwrap(), "smollm2-135m-instruct-q4_1");
}
