//! A reader child for the tests: the program that `cloister reader` is in an installation.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(
        u8::try_from(cloister_appliance::ingest::reader_main(&std::env::args().nth(2).unwrap_or_default()))
            .unwrap_or(1),
    )
}
