//! Ports of this machine, and who answers behind them.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, ToSocketAddrs},
    time::Duration,
};

use http::StatusCode;
use zmon_domain::{address::ServerUrl, limits};
use zmon_persistence::{Protection, read_file};
use zmon_transport::paths;
use zmon_wire::{admin::Readiness, strict};

use super::{finding::Finding, place::Place};
use crate::station;

const PORTS: &str = "ports";
const REACH: &str = "reachability";
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// What tablets and tools trust.
const ANCHOR: &str = "anchor.pem";
/// Longest certificate file, in bytes.
const PEM_MAX: usize = 65_536;

/// The listeners of a station.
pub(super) async fn station(place: &Place, is_running: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    for key in ["listen", "device_listen"] {
        found.push(match place.address(key) {
            Some(address) if is_running => answers(key, address),
            Some(address) => is_free(key, address),
            None => Finding::note(
                PORTS,
                format!("{key}: any port, which only the running program knows"),
            ),
        });
    }
    if let Some(address) = place.address("listen").filter(|_| is_running) {
        found.push(ready(place, connectable(address)).await);
    }
    found
}

/// The listener of a device: it is open while a window is, so that it must be free otherwise.
pub(super) fn device(place: &Place, is_running: bool) -> Vec<Finding> {
    match place.address("listen") {
        Some(_) if is_running => {
            vec![Finding::note(PORTS, "listen: open while a window is; the program runs")]
        }
        Some(address) => vec![is_free("listen", address)],
        None => vec![Finding::note(PORTS, "listen: any port, told by the QR code")],
    }
}

/// Whether a station can be connected to from here.
pub(super) fn reach(name: &str, url: &ServerUrl) -> Finding {
    let next = "Check the network, the name and the firewall between this machine and the station.";
    let host = url.host().to_owned();
    let addresses = match (host.as_str(), url.port()).to_socket_addrs() {
        Ok(addresses) => addresses.collect::<Vec<_>>(),
        Err(error) => {
            let seen = format!("{name} {url}: the name is not known here: {error}");
            return Finding::problem(REACH, seen, next);
        }
    };
    let mut cause = "it has no address".to_owned();
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_open) => {
                return Finding::ok(REACH, format!("{name} {url}: {address} takes connections"));
            }
            Err(error) => cause = format!("{address}: {error}"),
        }
    }
    Finding::problem(REACH, format!("{name} {url}: {cause}"), next)
}

/// Whether the running program takes connections where its settings say.
fn answers(key: &str, address: SocketAddr) -> Finding {
    match TcpStream::connect_timeout(&connectable(address), PATIENCE) {
        Ok(_open) => Finding::ok(PORTS, format!("{key}: {address} takes connections")),
        Err(error) => Finding::problem(
            PORTS,
            format!("{key}: {address}: {error}, although a program serves from the directory"),
            "If it was started with another address this is none; otherwise read its log.",
        ),
    }
}

/// Whether nobody else has the port of a program that does not run.
fn is_free(key: &str, address: SocketAddr) -> Finding {
    match TcpListener::bind(address) {
        Ok(_closed) => {
            Finding::ok(PORTS, format!("{key}: {address} is free; the program does not run"))
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => Finding::problem(
            PORTS,
            format!("{key}: another program has {address}"),
            "Stop the other program, or set another address.",
        ),
        Err(error) => Finding::problem(
            PORTS,
            format!("{key}: {address}: {error}"),
            "Set an address that this machine has.",
        ),
    }
}

/// What the station says of itself, over TLS as a tablet sees it.
async fn ready(place: &Place, address: SocketAddr) -> Finding {
    let anchor = match read_file(&place.dir.join(ANCHOR), PEM_MAX, Protection::Regular) {
        Ok(anchor) => anchor,
        Err(error) => return Finding::note(REACH, error.describe()),
    };
    let url = match ServerUrl::parse(&format!("https://{address}")) {
        Ok(url) => url,
        Err(error) => return Finding::note(REACH, error.to_string()),
    };
    match station::look(&url, &anchor, paths::READY, None).await {
        Err(failure) => Finding::failed(REACH, &failure),
        Ok(answer) => {
            let read: Result<Readiness, _> = strict::parse(&answer.body, limits::BODY_MAX.default);
            let reasons = read.map(|ready| {
                ready.reasons.iter().map(|reason| reason.as_str().to_owned()).collect()
            });
            readiness(&url, answer.status, reasons.unwrap_or_default())
        }
    }
}

fn readiness(url: &ServerUrl, status: StatusCode, reasons: Vec<String>) -> Finding {
    if status == StatusCode::OK {
        return Finding::ok(REACH, format!("{url} answers over TLS and takes pairings"));
    }
    let seen = format!("{url} takes no pairings: HTTP {status}, {}", reasons.join(", "));
    Finding::problem(REACH, seen, "Read the station's log; its database may be gone.")
}

/// Where a program that listens everywhere is connected to from its own machine.
pub(crate) fn connectable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Level, *};

    #[test]
    fn a_port_is_free_taken_or_not_of_this_machine() {
        let taken = TcpListener::bind("127.0.0.21:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert_eq!(is_free("listen", address).level, Level::Problem);
        assert_eq!(answers("listen", address).level, Level::Ok);
        let url = ServerUrl::parse(&format!("https://{address}")).unwrap();
        assert_eq!(reach("station", &url).level, Level::Ok);
        drop(taken);
        assert_eq!(is_free("listen", address).level, Level::Ok);
        assert_eq!(answers("listen", address).level, Level::Problem);
        assert_eq!(reach("station", &url).level, Level::Problem);
        // TEST-NET-1 (RFC 5737) is nobody's.
        let foreign = SocketAddr::from(([192, 0, 2, 1], 8443));
        assert_eq!(is_free("listen", foreign).level, Level::Problem);
        let nowhere = ServerUrl::parse("https://station.invalid:8443").unwrap();
        assert!(reach("station", &nowhere).seen.contains("not known here"));
    }

    #[test]
    fn a_station_that_is_not_ready_says_why() {
        let url = ServerUrl::parse("https://127.0.0.1:8443").unwrap();
        assert_eq!(readiness(&url, StatusCode::OK, Vec::new()).level, Level::Ok);
        let behind = vec!["behind".to_owned()];
        let found = readiness(&url, StatusCode::SERVICE_UNAVAILABLE, behind);
        assert_eq!(found.level, Level::Problem);
        assert!(found.seen.ends_with("behind"), "{found:?}");
    }

    #[test]
    fn everywhere_is_reached_over_loopback() {
        let of = |text: &str| connectable(text.parse().unwrap()).to_string();
        assert_eq!(of("0.0.0.0:8443"), "127.0.0.1:8443");
        assert_eq!(of("[::]:8443"), "[::1]:8443");
        assert_eq!(of("127.0.0.22:1"), "127.0.0.22:1");
    }
}
