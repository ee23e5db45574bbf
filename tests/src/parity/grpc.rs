//! The same call by gRPC, made to the agent itself and through the relay: what each end saw of it.

use super::allowed::{self, Allowed};
use super::{Differences, Verdict};
use crate::agent::GrpcCall;
use crate::http::{Cut, Ending, RawResponse};
use http::{HeaderMap, HeaderName, HeaderValue};

/// One call, as both its ends saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What the agent got, and how the call ended there.
    pub got: GrpcCall,
    /// What the caller got.
    pub answer: Result<RawResponse, Cut>,
}

/// What differs without a reason between a call to the agent itself and one through the relay.
#[must_use]
pub fn same(name: &str, alone: &Seen, through: &Seen) -> Verdict {
    let mut found = Differences::of(format!("{name}, by gRPC"));
    if alone.got.path != through.got.path {
        found.add(format!("the path {} became {}", alone.got.path, through.got.path));
    }
    found.fields("request", &alone.got.fields, &through.got.fields, &[&allowed::OF_REQUESTS]);
    found.bodies("request", &alone.got.body, &through.got.body);
    if alone.got.end != through.got.end {
        let ends = (alone.got.end, through.got.end);
        found.add(format!("the call ended at the agent with {:?} and then {:?}", ends.0, ends.1));
    }
    match (&alone.answer, &through.answer) {
        (Ok(alone), Ok(through)) => answers(&mut found, alone, through),
        (Err(cut), Ok(through)) if may_end(cut, status(&through.head.headers)) => {}
        (Err(one), Err(other)) if one == other => {}
        (one, other) => found.add(format!("the caller got {one:?} and then {other:?}")),
    }
    Verdict { compared: 1, differences: found.into_text().into_iter().collect() }
}

fn answers(found: &mut Differences, alone: &RawResponse, through: &RawResponse) {
    if alone.status != through.status {
        found.add(format!("the status {} became {}", alone.status, through.status));
    }
    let may: [&[Allowed]; 2] = [&allowed::OF_ANSWERS, &allowed::OF_GRPC_ANSWERS];
    found.fields("answer", &fields(&alone.head.headers), &fields(&through.head.headers), &may);
    if let Ending::Cut(cut) = &alone.ending
        && may_end(cut, status(&through.trailers))
    {
        // As far as it came, it is the same.
        let shorter = alone.body.len().min(through.body.len());
        found.bodies("answer", &alone.body[..shorter], &through.body[..shorter]);
        return;
    }
    found.bodies("answer", &alone.body, &through.body);
    found.fields("trailer", &fields(&alone.trailers), &fields(&through.trailers), &[]);
    if alone.ending != through.ending {
        found
            .add(format!("the answer ended with {:?} and then {:?}", alone.ending, through.ending));
    }
}

/// Whether a call that ends so without the relay may end with this status through it.
fn may_end(cut: &Cut, status: Option<&str>) -> bool {
    let [reset, late] = &allowed::GRPC_ENDS;
    match cut {
        Cut::Reset(_) => status == Some(reset.field),
        Cut::Timeout => status == Some(late.field),
        _ => false,
    }
}

fn status(fields: &[(String, Vec<u8>)]) -> Option<&str> {
    let (_, value) = fields.iter().find(|(name, _)| name == "grpc-status")?;
    std::str::from_utf8(value).ok()
}

fn fields(list: &[(String, Vec<u8>)]) -> HeaderMap {
    let field = |(name, value): &(String, Vec<u8>)| {
        (
            name.parse::<HeaderName>().expect("a name"),
            HeaderValue::from_bytes(value).expect("a value"),
        )
    };
    list.iter().map(field).fold(HeaderMap::new(), |mut map, (name, value)| {
        map.append(name, value);
        map
    })
}
