//! The WebSocket subprotocols that a client offers.

/// The WebSocket subprotocol of the chat. A browser offers it beside `bearer.{token}`.
pub const SUBPROTOCOL: &str = "chat.v1";

/// Returns the subprotocols that a client offers: the items of its `Sec-WebSocket-Protocol` headers.
pub fn subprotocols<'a>(
    headers: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = &'a str> {
    headers
        .into_iter()
        .flat_map(|header| header.split(','))
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subprotocols_are_the_items_of_all_headers() {
        let headers = ["chat.v1, bearer.a.b.c", " ,x,"];
        let items: Vec<_> = subprotocols(headers).collect();
        assert_eq!(items, ["chat.v1", "bearer.a.b.c", "x"]);
    }
}
