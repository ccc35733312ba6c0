//! A certificate authority of a test's own.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

use super::scratch::Scratch;

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The file that trusts it.
    pub(super) file: PathBuf,
}

/// The files of a server's certificate.
pub(super) struct Certificate {
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
}

impl Authority {
    pub(super) fn new(scratch: &Scratch) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        let file = scratch.file("authority.pem", own.pem());
        Self { issuer: Issuer::new(params, key), file }
    }

    /// A certificate for a name or address, which expires with a year.
    pub(super) fn certificate(&self, scratch: &Scratch, name: &str, year: i32) -> Certificate {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let file = |kind: &str| format!("{name}-{year}.{kind}");
        Certificate {
            chain: scratch.file(&file("pem"), signed.pem()),
            key: scratch.file(&file("key"), key.serialize_pem()),
        }
    }
}
