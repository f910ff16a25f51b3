//! Every value that is text: identifiers, addresses, URLs, codes, times.
#![no_main]

use libfuzzer_sys::fuzz_target;
use zmon_domain::address::{DeviceAddress, Network, ServerUrl};
use zmon_domain::code::PairingCode;
use zmon_domain::ids::{
    BatchId, BedId, DeviceId, DeviceLabel, DeviceSerial, FirmwareVersion, MessageId, OperatorId,
    Serial, SessionId, SiteId, StationId, StationName, Thumbprint, TokenId, WindowId,
};
use zmon_domain::settings::Language;
use zmon_domain::time::UnixTime;
use zmon_fuzz::reads_back;

macro_rules! values {
    ($text:ident: $($type:ty),+) => {
        $(if let Ok(value) = <$type>::parse($text) {
            let written = value.to_string();
            reads_back(value, &written, <$type>::parse);
        })+
    };
}

fuzz_target!(|text: &str| {
    values!(text: BatchId, BedId, DeviceId, DeviceLabel, DeviceSerial, FirmwareVersion, MessageId,
        OperatorId, Serial, SessionId, SiteId, StationId, StationName, Thumbprint, TokenId,
        WindowId, DeviceAddress, Network, ServerUrl, Language, UnixTime);
    if let Ok(code) = PairingCode::parse_any(text) {
        let again = PairingCode::parse_any(&code.display());
        assert!(again.is_ok_and(|again| again.canonical() == code.canonical()), "as it is shown");
    }
});
