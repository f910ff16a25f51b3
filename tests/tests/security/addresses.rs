//! A QR code cannot send the station anywhere it likes (D18).

use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpListener;
use zmon_crypto::token::PairingToken;
use zmon_domain::error::ErrorCode;
use zmon_testkit::{StationOptions, Step, registered, registered_with, wait};
use zmon_wire::b64;
use zmon_wire::qr::QrContent;
use zmon_wire::secret::SecretText;

/// The code with another port in its token.
fn with_port(qr: &QrContent, port: u16) -> QrContent {
    let mut token = b64::decode_url(qr.pairing_token.expose()).unwrap();
    token[1..3].copy_from_slice(&port.to_be_bytes());
    let token = SecretText::from_string(b64::encode_url(&token));
    let parsed = PairingToken::parse_base64url(token.expose()).unwrap();
    assert_eq!(parsed.port(), port);
    QrContent { pairing_token: token, ..qr.clone() }
}

#[tokio::test]
async fn the_station_connects_into_its_device_networks_only() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    for address in ["10.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "8.8.8.8"] {
        let elsewhere = QrContent { ip_address: address.parse().unwrap(), ..qr.clone() };
        let refused = station.pair(&elsewhere).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::AddressNotPermitted, "{address}");
    }
    assert_eq!(station.faults().count(Step::Dial), 0);
    station.audit_verified().await;
}

#[tokio::test]
async fn the_station_does_not_connect_to_itself_or_to_privileged_ports() {
    let (station, device) = registered().await;
    let qr = device.open_window().await;
    for port in [station.operators().port(), station.devices().port(), 22, 443] {
        let refused = station.pair(&with_port(&qr, port)).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::AddressNotPermitted, "{port}");
    }
    assert_eq!(station.faults().count(Step::Dial), 0);
}

#[tokio::test]
async fn a_closed_a_deaf_and_a_wrong_port_are_told_alike() {
    let (station, device) = registered_with(StationOptions::impatient()).await;
    let qr = device.open_window().await;
    let deaf = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let closed = {
        let gone = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        gone.local_addr().unwrap().port()
    };
    let mut told = Vec::new();
    // Nobody listens, somebody who says nothing listens, and another TLS server listens.
    let elsewhere = QrContent { ip_address: "127.0.0.9".parse().unwrap(), ..qr.clone() };
    let at = |qr: &QrContent, port| with_port(qr, port);
    for wrong in [at(&qr, closed), at(&qr, deaf.local_addr().unwrap().port()), elsewhere] {
        let refused = station.pair(&wrong).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::DeviceUnreachable);
        told.push(refused.problem.detail.clone());
    }
    told.dedup();
    assert_eq!(told.len(), 1, "one text for every cause: {told:?}");
    assert_eq!(IpAddr::from([127, 0, 0, 1]), deaf.local_addr().unwrap().ip());
    wait::within("the device", station.pair(&qr)).await.expect("the right port still works");
}
