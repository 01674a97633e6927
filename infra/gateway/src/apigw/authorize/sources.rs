//! Identity sources: the parts of a request that identify the caller.

use crate::http::headers::Pairs;
use crate::model::IdentitySource;

/// Returns the values of all identity sources of a request to a route; `None` if one is missing or
/// empty.
pub fn identity(
    sources: &[IdentitySource],
    headers: &Pairs,
    query: &Pairs,
    route_key: &str,
) -> Option<Vec<String>> {
    let value = |source: &IdentitySource| match source {
        IdentitySource::Header(name) => {
            let mut headers = headers.iter();
            headers.find(|(other, _)| other.eq_ignore_ascii_case(name))
        }
        IdentitySource::Query(name) => query.iter().find(|(other, _)| other == name),
        IdentitySource::RouteKey | IdentitySource::Always => None,
    };
    let values = sources.iter().map(|source| match source {
        IdentitySource::RouteKey => Some(route_key.to_owned()),
        IdentitySource::Always => Some(String::new()),
        source => value(source)
            .map(|(_, value)| value.clone())
            .filter(|value| !value.is_empty()),
    });
    values.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_key_is_part_of_the_identity_if_it_is_a_source() {
        let header = |name: &str| IdentitySource::Header(name.to_owned());
        let sources = [header("Authorization"), IdentitySource::RouteKey];
        let headers = vec![("authorization".to_owned(), "t".to_owned())];
        let of = |key: &str| identity(&sources, &headers, &Vec::new(), key);
        assert_eq!(of("GET /a").expect("complete"), ["t", "GET /a"]);
        assert_ne!(of("GET /a"), of("GET /b"));
        assert_eq!(identity(&sources, &Vec::new(), &headers, "GET /a"), None);
    }
}
