//! Headers and query strings as pairs of text.

use hyper::HeaderMap;

/// Names and values, in order: headers, or a query string decoded.
pub type Pairs = Vec<(String, String)>;

/// Returns headers as pairs.
pub fn header_pairs(headers: &HeaderMap) -> Pairs {
    let pairs = headers.iter();
    pairs
        .map(|(name, value)| (name.to_string(), header_text(value.as_bytes())))
        .collect()
}

/// Returns the bytes of a header as text.
pub fn header_text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// Decodes a query string; `+` is a space.
pub fn query_pairs(query: &str) -> Pairs {
    form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .collect()
}
