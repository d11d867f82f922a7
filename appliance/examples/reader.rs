//! A reader child for the tests: the program that `cloister reader` is in an installation.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(u8::try_from(cloister_appliance::ingest::reader_main()).unwrap_or(1))
}
