//! `models`: what is told of them, where they are taken from, what is deleted.

use crate::support::{GENERATOR, Home, Ran};

#[test]
fn a_source_that_is_named_is_the_only_one() {
    let home = Home::bare();
    let empty = home.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    for (from, says) in
        [("nofolder", "no file or folder"), ("nofile.gguf", "no file or folder"), ("empty", "it holds neither")]
    {
        let mut command = home.command(&["models", "pull", "--from", from, GENERATOR]);
        // Without any program at hand, going to the network would be told as one that cannot be started.
        command.env("PATH", &empty);
        let said = Ran::of(command).ended(1).says(from).says(says);
        assert!(!said.stderr().contains("PyPI") && said.stdout().is_empty(), "{}", said.stderr());
    }
}

#[test]
fn every_model_is_told_in_full_whether_it_is_here_or_not() {
    let home = Home::bare();
    let listed = home.lines(&["models", "list"]);
    assert!(listed.len() >= 4);
    for model in &listed {
        assert!(model["memory_bytes"].is_u64() && model["fits"].is_boolean(), "{model}");
        assert!(!model["architecture"].as_str().unwrap().is_empty(), "{model}");
    }
    let text = home.plain(&["models", "list"]);
    assert!(text.contains("answers questions (the default)"), "{text}");
    assert!(text.contains(&format!("not here; fetch it: cloister models pull {GENERATOR}")), "{text}");
    let shown = home.plain(&["models", "show", GENERATOR]);
    assert!(shown.lines().count() > 9 && shown.contains("made by") && shown.contains("SHA-256"), "{shown}");
}

#[test]
fn the_catalogue_tells_of_a_model_what_its_file_says() {
    let Some(home) = Home::with_models("the_catalogue_tells_of_a_model_what_its_file_says") else { return };
    let bare = Home::bare().lines(&["models", "list"]);
    let mut compared = 0;
    for here in home.lines(&["models", "list"]).iter().filter(|model| model["present"] == true) {
        let Some(listed) = bare.iter().find(|model| model["id"] == here["id"]) else { continue };
        for name in ["role", "architecture", "quantisation", "memory_bytes", "licence"] {
            assert_eq!(here[name], listed[name], "{name} of {}", here["id"]);
        }
        compared += 1;
    }
    assert!(compared >= 2);
}

#[test]
fn removing_deletes_what_the_models_directory_holds_and_nothing_else() {
    let Some(source) = Home::with_models("removing_deletes_what_the_models_directory_holds_and_nothing_else") else {
        return;
    };
    let home = Home::bare();
    let own = home.path().join("own.gguf");
    std::fs::copy(source.generator_file(), &own).unwrap();
    home.line(&["models", "add", "own.gguf"]);
    assert!(home.path().join("no-models/own").is_dir());
    home.run(&["models", "remove", "../own.gguf"]).ended(1).says("by id");
    home.run(&["models", "remove", "nothing"]).ended(1).says("nothing was removed");
    let said = home.plain(&["models", "remove", "own"]);
    assert!(said.starts_with("deleted ") && said.contains("own.gguf, which it was taken from, stays"), "{said}");
    assert!(own.is_file() && !home.path().join("no-models/own").exists());
}
