//! The eight properties of [W §11.2] as JSON, and which of them changed.

use serde::Serialize;
use zeroize::Zeroizing;
use zmon_ui::ProvisioningProperties;
use zmon_wire::{b64, strict};

/// The document's names, in its order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PropertiesView<'a> {
    provisioning_state: &'a str,
    pairing_code: &'a str,
    /// The PNG image in base64 (RFC 4648 §4); empty without one.
    qr_code_data: &'a str,
    expiration_time: u64,
    error_message: &'a str,
    is_provisioned: bool,
    server_url: &'a str,
    certificate_status: &'a str,
}

/// The properties as one JSON object. While a window is open it holds the pairing code.
pub(crate) fn json(properties: &ProvisioningProperties) -> Zeroizing<Vec<u8>> {
    let image = Zeroizing::new(b64::encode_standard(&properties.qr_code_data));
    let view = PropertiesView {
        provisioning_state: properties.provisioning_state.as_str(),
        pairing_code: &properties.pairing_code,
        qr_code_data: &image,
        expiration_time: properties.expiration_time,
        error_message: &properties.error_message,
        is_provisioned: properties.is_provisioned,
        server_url: &properties.server_url,
        certificate_status: &properties.certificate_status,
    };
    // Strings and numbers always have a JSON form.
    Zeroizing::new(strict::to_vec(&view).unwrap_or_default())
}

/// The names of the properties that differ, in the document's order.
pub(crate) fn changed(
    before: &ProvisioningProperties,
    after: &ProvisioningProperties,
) -> Vec<&'static str> {
    let differs = [
        before.provisioning_state != after.provisioning_state,
        before.pairing_code != after.pairing_code,
        before.qr_code_data != after.qr_code_data,
        before.expiration_time != after.expiration_time,
        before.error_message != after.error_message,
        before.is_provisioned != after.is_provisioned,
        before.server_url != after.server_url,
        before.certificate_status != after.certificate_status,
    ];
    let names = ProvisioningProperties::NAMES.into_iter().zip(differs);
    names.filter_map(|(name, differs)| differs.then_some(name)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;
    use zmon_domain::state::ProvisioningState;

    use super::*;

    fn blank() -> ProvisioningProperties {
        ProvisioningProperties {
            provisioning_state: ProvisioningState::NotProvisioned,
            pairing_code: Zeroizing::default(),
            qr_code_data: Arc::default(),
            expiration_time: 0,
            error_message: String::new(),
            is_provisioned: false,
            server_url: String::new(),
            certificate_status: String::new(),
        }
    }

    #[test]
    fn the_names_are_those_of_the_document() {
        let shown = ProvisioningProperties { qr_code_data: Arc::from(*b"\x89PNG"), ..blank() };
        let json = json(&shown);
        let text = std::str::from_utf8(&json).unwrap();
        let mut at = 0;
        for name in ProvisioningProperties::NAMES {
            at += text[at..].find(&format!("\"{name}\":")).unwrap();
        }
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value.as_object().unwrap().len(), ProvisioningProperties::NAMES.len());
        assert_eq!(value["provisioningState"], "NotProvisioned");
        assert_eq!(value["qrCodeData"], "iVBORw==");
    }

    #[test]
    fn a_change_is_told_by_its_name() {
        let all = ProvisioningProperties {
            provisioning_state: ProvisioningState::ReadyToPair,
            pairing_code: Zeroizing::new("ABC-123-XYZ".to_owned()),
            qr_code_data: Arc::from(*b"\x89PNG"),
            expiration_time: 600,
            error_message: "e".to_owned(),
            is_provisioned: true,
            server_url: "s".to_owned(),
            certificate_status: "c".to_owned(),
        };
        assert_eq!(changed(&blank(), &all), ProvisioningProperties::NAMES);
        assert!(changed(&all, &all).is_empty());
        let later = ProvisioningProperties { expiration_time: 599, ..all.clone() };
        assert_eq!(changed(&all, &later), ["expirationTime"]);
    }
}
