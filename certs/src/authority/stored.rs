//! The authority's two files: made together once, then only read. The key's file holds a copy of
//! the certificate, so that a process which ends between the two leaves nothing incomplete.

use std::path::{Path, PathBuf};

use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::*;
use crate::files::FileError;

/// Why there is no authority to sign with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// One of the two files is missing.
    #[error(
        "The certificate authority is incomplete: {} is there but {} is not; put the missing file \
         back, or, if no agent has joined yet, remove the other to have both made anew",
        present.display(), missing.display()
    )]
    HalfPresent {
        /// The file that is there, left as it is.
        present: PathBuf,
        /// The file that is not.
        missing: PathBuf,
    },
    /// One of the files does not hold what it should.
    #[error(
        "The certificate authority's file {} is unusable: {why}; it was left as it is, so put a \
         good copy in its place",
        path.display()
    )]
    Corrupt {
        /// The file, left as it is.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The files belong to different authorities.
    #[error(
        "The key in {} does not belong to the certificate in {}; both were left as they are, so \
         put the two of one authority there",
        key.display(), certificate.display()
    )]
    Mismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },
    /// A new authority could not be made.
    #[error(transparent)]
    Sign(#[from] SignError),
}

pub(super) fn open_or_create(
    key_path: &Path,
    certificate_path: &Path,
    now: SystemTime,
) -> Result<Authority, AuthorityError> {
    if let Some(dir) = key_path.parent() {
        files::create_private_dir(dir)?;
    }
    let half = |present: &Path, missing: &Path| AuthorityError::HalfPresent {
        present: present.to_owned(),
        missing: missing.to_owned(),
    };
    let key = files::read_private_if_present(key_path)?;
    let certificate = files::read_private_if_present(certificate_path)?;
    match (key, certificate) {
        (Some(key), Some(certificate)) => {
            let key = parse_key(&key).map_err(|why| corrupt(key_path, why))?;
            let certificate =
                parse_certificate(&certificate).map_err(|why| corrupt(certificate_path, why))?;
            join(key, certificate, key_path, certificate_path)
        }
        (None, None) => create(key_path, certificate_path, now),
        (Some(key), None) => {
            let copy = parse_certificate(&key).map_err(|_| half(key_path, certificate_path))?;
            let key = parse_key(&key).map_err(|why| corrupt(key_path, why))?;
            let authority = join(key, copy, key_path, certificate_path)?;
            write_certificate(certificate_path, &authority.certificate)?;
            Ok(authority)
        }
        (None, Some(_)) => Err(half(certificate_path, key_path)),
    }
}

fn create(
    key_path: &Path,
    certificate_path: &Path,
    now: SystemTime,
) -> Result<Authority, AuthorityError> {
    let key = KeyPair::generate().map_err(SignError::Key)?;
    let key_pem = key.to_pem();
    let validity = now - DAY..now + DAY * AUTHORITY_DAYS;
    let mut params = certificate("A2A tunnel relay CA", validity)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let signer = key.into_signer();
    let certificate = params.self_signed(&signer).map_err(SignError::Sign)?.der().clone();
    let both = key_pem + &pem::block("CERTIFICATE", &certificate);
    files::write_private_new(key_path, both.as_bytes())?;
    write_certificate(certificate_path, &certificate)?;
    Ok(Authority { issuer: Issuer::new(params, signer), certificate })
}

fn write_certificate(path: &Path, certificate: &CertificateDer<'_>) -> Result<(), FileError> {
    files::write_private_new(path, pem::block("CERTIFICATE", certificate).as_bytes())
}

/// An authority of `key` and `certificate`, if the two belong together.
fn join(
    key: KeyPair,
    certificate: CertificateDer<'static>,
    key_path: &Path,
    certificate_path: &Path,
) -> Result<Authority, AuthorityError> {
    let unusable = |why| corrupt(certificate_path, why);
    let spki = check_certificate(&certificate).map_err(unusable)?;
    if key.key_hash() != spki {
        return Err(AuthorityError::Mismatch {
            key: key_path.to_owned(),
            certificate: certificate_path.to_owned(),
        });
    }
    let issuer = Issuer::from_ca_cert_der(&certificate, key.into_signer())
        .map_err(|_| unusable("its subject or key usage cannot be read"))?;
    Ok(Authority { issuer, certificate })
}

fn corrupt(path: &Path, why: &'static str) -> AuthorityError {
    AuthorityError::Corrupt { path: path.to_owned(), why }
}

fn parse_key(pem: &[u8]) -> Result<KeyPair, &'static str> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(pem)
        .map_err(|_| "it holds no private key in PKCS#8 PEM (`BEGIN PRIVATE KEY`)")?;
    KeyPair::from_pkcs8_der(der.secret_pkcs8_der())
        .map_err(|_| "its private key is damaged or of a kind that cannot sign")
}

fn parse_certificate(pem: &[u8]) -> Result<CertificateDer<'static>, &'static str> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates.as_deref() {
        Ok([one]) => Ok(one.clone()),
        _ => Err("it does not hold exactly one certificate in PEM (`BEGIN CERTIFICATE`)"),
    }
}

/// The key of a certificate that may sign others.
fn check_certificate(der: &CertificateDer<'_>) -> Result<KeyHash, &'static str> {
    let Ok(([], certificate)) = X509Certificate::from_der(der) else {
        return Err("its certificate is damaged");
    };
    if !certificate.is_ca() {
        return Err("its certificate is not that of a certificate authority");
    }
    match certificate.key_usage() {
        Ok(Some(usage)) if !usage.value.key_cert_sign() => {
            Err("its certificate may not be used to sign certificates")
        }
        Ok(_) => Ok(KeyHash::of(certificate.public_key().raw)),
        Err(_) => Err("its certificate's key usage is damaged"),
    }
}
