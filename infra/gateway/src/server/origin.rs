//! The origins of web pages that send requests.

use std::net::IpAddr;

use hyper::Uri;
use hyper::header::{HeaderMap, HeaderValue, ORIGIN};

/// Returns the first origin of a request that is not on this machine. Programs send none; browsers send
/// one with each handshake and each request to another origin, and a page cannot change it.
pub fn foreign(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut origins = headers.get_all(ORIGIN).into_iter();
    origins.find(|origin| !origin.to_str().is_ok_and(is_on_this_machine))
}

/// Whether an origin is `http` or `https` on `localhost`, a name below it, or a loopback address.
/// `null`, the origin of files and of sandboxed pages, is not.
fn is_on_this_machine(origin: &str) -> bool {
    let Ok(origin) = origin.parse::<Uri>() else {
        return false;
    };
    let (Some("http" | "https"), Some(authority)) = (origin.scheme_str(), origin.authority())
    else {
        return false;
    };
    let host = authority.host();
    // The parser takes `[::1].page.example` for the host `[::1]`.
    let port = authority.as_str().strip_prefix(host);
    if !port.is_some_and(|port| port.is_empty() || port.starts_with(':')) {
        return false;
    }
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let name = host.to_ascii_lowercase();
    let is_name = name == "localhost" || name.ends_with(".localhost");
    is_name || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn loopback_is_this_machine_and_nothing_else() {
        for origin in [
            "http://localhost",
            "http://localhost:3000",
            "https://LOCALHOST:5173",
            "http://chat.localhost:3000",
            "http://127.0.0.1:3000",
            "https://[::1]:3000",
        ] {
            assert!(is_on_this_machine(origin), "{origin}");
        }
        for origin in [
            "",
            "null",
            "localhost",
            "file://localhost",
            "http://",
            "http://localhost.page.example",
            "http://notlocalhost",
            "http://localhost@page.example",
            "http://page.example/localhost",
            "http://page.example#.localhost",
            "http://127.0.0.1.page.example",
            "http://128.0.0.1",
            "http://0.0.0.0",
            "http://[::2]",
            "http://[::1].page.example",
            "http://localhost http://page.example",
        ] {
            assert!(!is_on_this_machine(origin), "{origin}");
        }
    }

    #[test]
    fn each_origin_of_a_request_counts() {
        let mut headers = HeaderMap::new();
        assert_eq!(foreign(&headers), None);
        headers.append(ORIGIN, HeaderValue::from_static("http://localhost:3000"));
        assert_eq!(foreign(&headers), None);
        let page = HeaderValue::from_static("https://page.example");
        headers.append(ORIGIN, page.clone());
        assert_eq!(foreign(&headers), Some(&page));
    }

    proptest! {
        /// Whatever stands around the names of this machine, another host is another host.
        #[test]
        fn no_other_host_is_this_machine(
            before in "[a-z0-9.:@-]{0,8}",
            name in prop::sample::select(vec!["localhost", "127.0.0.1", "[::1]"]),
            after in "[.@-][a-z0-9.-]{0,8}",
        ) {
            let origin = format!("http://{before}{name}{after}.example");
            prop_assert!(!is_on_this_machine(&origin), "{}", origin);
        }
    }
}
