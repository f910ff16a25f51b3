//! The one fact a screen shows of a client certificate.

use x509_cert::Certificate;
use x509_cert::der::Decode;
use zmon_domain::time::UnixTime;
use zmon_protocol::device::LinkCredentials;

/// Last instant of the client certificate's validity; `None` if it cannot be read. For display: what
/// the certificate is good for was decided before it was installed.
pub(crate) fn not_after(credentials: &LinkCredentials) -> Option<UnixTime> {
    let certificate = Certificate::from_der(credentials.client_chain.first()?).ok()?;
    let not_after = certificate.tbs_certificate().validity().not_after;
    UnixTime::from_unix(i64::try_from(not_after.to_unix_duration().as_secs()).ok()?)
}
