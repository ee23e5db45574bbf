//! PEM blocks around DER (RFC 7468), for the files that this crate writes.

use data_encoding::BASE64;

/// One PEM block: `der` in lines of 64 characters under the label `label`.
pub(crate) fn block(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    // 48 bytes make a line of 64 characters (RFC 7468, 2).
    for line in der.chunks(48) {
        BASE64.encode_append(line, &mut text);
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn a_block_reads_back() {
        for length in [0, 1, 47, 48, 49, 500] {
            let der = vec![0xA5; length];
            let text = super::block("CERTIFICATE", &der);
            assert!(text.lines().all(|line| line.len() <= 64));
            assert_eq!(CertificateDer::from_pem_slice(text.as_bytes()).unwrap().as_ref(), der);
        }
    }
}
