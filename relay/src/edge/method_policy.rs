//! Holds a request to the methods that its agent's operator lets callers use.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::called::Called;
use super::caller_body::CallerBody;
use super::exchange::{Admitted, broken};
use super::failure::Failure;
use crate::methods::Methods;

/// Lets a request pass whose method may be used. Only where a policy says less than all, and the method
/// stands in the body, is that waited for: 64 KiB and a second long. What was read of it comes again.
pub async fn judge(admitted: &Admitted, body: &mut CallerBody) -> Result<(), Failure> {
    let readings = match admitted.called {
        Called::Nothing => return Ok(()),
        Called::Methods(readings) => readings,
        Called::InBody if !is_utf8(&admitted.head.fields) => {
            return Err(Failure::MethodUnclear("is not said to be UTF-8"));
        }
        Called::InBody => Methods::only(body.find_method().await.map_err(broken)?),
    };
    match readings.first_beyond(admitted.allowed) {
        Some(method) => Err(Failure::MethodDenied(method)),
        None => Ok(()),
    }
}

/// Whether a body is in the one encoding of JSON (RFC 8259, 8.1), as far as its head says anything.
fn is_utf8(fields: &HeaderMap) -> bool {
    fields.get_all(CONTENT_TYPE).iter().all(|media| {
        let media = media.as_bytes().to_ascii_lowercase();
        let mut parameters = media.split(|byte| *byte == b';').skip(1);
        parameters.all(|parameter| match parameter.trim_ascii().strip_prefix(b"charset") {
            None => true,
            Some(value) => matches!(value.trim_ascii(), b"=utf-8" | b"=\"utf-8\"" | b"=us-ascii"),
        })
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_body_in_another_encoding_is_known_by_its_type() {
        for (media, fits) in [
            ("application/json", true),
            ("application/json; charset=UTF-8", true),
            ("application/json;v=1;charset=\"utf-8\"", true),
            ("application/json; charset=utf-16", false),
            ("application/json; charset=utf-8; charset=utf-7", false),
            ("application/json; charset =utf-7", false),
        ] {
            let fields = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media))]);
            assert_eq!(is_utf8(&fields), fits, "{media}");
        }
        assert!(is_utf8(&HeaderMap::new()));
    }
}
