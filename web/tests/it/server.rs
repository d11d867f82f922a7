//! The server on a socket of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use cloister_web::{Options, Stop, WebError, bind, serve};

use crate::house::House;

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

#[test]
fn a_taken_port_is_named() {
    let first = bind(ANY_PORT).unwrap();
    let address = first.local_addr().unwrap();
    let error = bind(address).unwrap_err();
    assert!(matches!(error, WebError::PortTaken { address: named } if named == address));
    assert_eq!(
        error.to_string(),
        format!("port taken: another program listens on {address}; choose another with --listen")
    );
}

#[test]
fn it_answers_until_it_is_stopped() {
    let house = House::new();
    let listener = bind(ANY_PORT).unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Stop::new();
    let (appliance, ending) = (house.appliance.clone(), stop.clone());
    let server = std::thread::spawn(move || serve(appliance, listener, Options::default(), &ending));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "the own machine may read metrics: {answer}");
    assert!(answer.contains("cloister_http_requests_in_flight 1\n"), "{answer}");
    // An idle connection does not hold the server up.
    let idle = TcpStream::connect(address).unwrap();
    stop.stop();
    server.join().unwrap().unwrap();
    drop(idle);
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}
