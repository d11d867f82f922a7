//! `cloister serve` on a free port.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::{GENERATOR, Home, Http};

/// Time in which a server says what a test waits for.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server, killed when a test forgets it.
pub(crate) struct Server {
    child: Child,
    said: Receiver<String>,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(home: &Home) -> Self {
        let mut command = home.command(&["serve", "--listen", "127.0.0.1:0", "--model", GENERATOR]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, said) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            // The lines end with the server; a test that has ended no longer wants them.
            stderr.lines().map_while(Result::ok).all(|line| sender.send(line).is_ok())
        });
        let mut server = Self { child, said, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let line = server.line(|line| line.contains("serves http://"));
        server.address = line.rsplit_once("http://").unwrap().1.parse().unwrap();
        server
    }

    /// The next line on standard error that is sought.
    #[track_caller]
    pub(crate) fn line(&self, sought: impl Fn(&str) -> bool) -> String {
        let mut passed = Vec::new();
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(line) if sought(&line) => return line,
                Ok(line) => passed.push(line),
                Err(error) => panic!("{error} after {passed:#?}"),
            }
        }
    }

    /// The code that the first start shows.
    #[track_caller]
    pub(crate) fn setup_code(&self) -> String {
        self.line(|line| line.contains("set-up code"));
        self.line(|line| line.starts_with("    ")).trim().to_owned()
    }

    pub(crate) fn http(&self) -> Http {
        Http::new(self.address)
    }

    /// Asks it to end, and waits.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let asked = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status().unwrap();
        assert!(asked.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
