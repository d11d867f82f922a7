//! What can go wrong before and beside requests.

use std::net::SocketAddr;

use thiserror::Error;

/// Why the server could not run. What goes wrong within a request is a [`crate::Problem`].
#[derive(Debug, Error)]
pub enum WebError {
    /// Another program listens there: stop it, or choose another address.
    #[error("port taken: another program listens on {address}; choose another with --listen")]
    PortTaken {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The system refuses the address, for example a port below 1024 or an address of another machine.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The runtime could not be started; the machine lacks threads or file descriptors.
    #[error("cannot start the server: {0}")]
    Runtime(std::io::Error),
}
