//! The connection string: its options that are ignored, and the mistake in it.

/// Options of other drivers that change nothing here: the driver is built without compression, which is an offer
/// to the server, and every operation has a deadline of its own.
const IGNORED: [&str; 4] = [
    "compressors",
    "zlibCompressionLevel",
    "timeoutMS",
    "socketTimeoutMS",
];

/// Returns the connection string without the options that are ignored, and their names.
pub fn without_ignored(uri: &str) -> (String, Vec<&'static str>) {
    let (base, options) = split(uri);
    let ignored = |option: &&str| {
        let name = name(option);
        IGNORED
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(name))
    };
    let names = options.iter().filter_map(ignored).collect();
    let kept = options.iter().filter(|option| ignored(option).is_none());
    (join(base, kept.copied()), names)
}

/// Describes the mistake in a connection string that `is_accepted` refuses. Of the string, the sentence quotes only
/// names of options, and these only if they can be no part of a password.
pub async fn mistake<A: Future<Output = bool>>(
    uri: &str,
    is_accepted: impl Fn(String) -> A,
) -> String {
    const CREDENTIALS: &str = "has a user name or password that is not percent-encoded";
    let (base, options) = split(uri);
    let Some((scheme @ ("mongodb" | "mongodb+srv"), rest)) = base.split_once("://") else {
        return "does not begin with mongodb:// or mongodb+srv://".to_owned();
    };
    // The options seem to begin at a `?` in the password.
    if options.iter().any(|option| option.contains('@')) {
        return CREDENTIALS.to_owned();
    }
    if !is_accepted(base.to_owned()).await {
        let hosts = rest.rsplit_once('@').map(|(_, hosts)| hosts);
        return match hosts {
            Some(hosts) if is_accepted(format!("{scheme}://{hosts}")).await => CREDENTIALS,
            _ => "has an invalid host, port or database name",
        }
        .to_owned();
    }
    let wrong = wrong_options(base, &options, is_accepted).await;
    let names: Vec<_> = wrong.into_iter().map(printable_name).collect();
    match names.as_slice() {
        // Each was accepted after the others, so it is their order.
        [] => "has options that contradict each other".to_owned(),
        [one] => format!("has a wrong option: {one}"),
        names => format!("has wrong options: {}", names.join(", ")),
    }
}

/// Returns the options that are not accepted beside the others. An option may need another one, so those that are
/// refused are tried again after more have been accepted.
async fn wrong_options<'a, A: Future<Output = bool>>(
    base: &str,
    options: &[&'a str],
    is_accepted: impl Fn(String) -> A,
) -> Vec<&'a str> {
    let mut accepted: Vec<&str> = Vec::new();
    let mut rest = options.to_vec();
    loop {
        let mut refused = Vec::new();
        for option in &rest {
            let options = accepted.iter().chain([option]).copied();
            if is_accepted(join(base, options)).await {
                accepted.push(option);
            } else {
                refused.push(*option);
            }
        }
        if refused.len() == rest.len() || refused.is_empty() {
            return refused;
        }
        rest = refused;
    }
}

/// Returns the name of an option if it has only letters. A password with `?` or `&` in it looks like options, too.
fn printable_name(option: &str) -> &str {
    match option.split_once('=') {
        None => "one without `=`",
        Some((name, _)) if name.bytes().all(|byte| byte.is_ascii_alphabetic()) => name,
        Some(_) => "one with an odd name",
    }
}

fn name(option: &str) -> &str {
    option.split_once('=').map_or(option, |(name, _)| name)
}

/// Splits a connection string into the part before its options, and its options.
fn split(uri: &str) -> (&str, Vec<&str>) {
    match uri.trim().split_once('?') {
        Some((base, "")) => (base, Vec::new()),
        Some((base, options)) => (base, options.split('&').collect()),
        None => (uri.trim(), Vec::new()),
    }
}

fn join<'a>(base: &str, options: impl Iterator<Item = &'a str>) -> String {
    let options: Vec<_> = options.collect();
    match options.as_slice() {
        [] => base.to_owned(),
        options => format!("{base}?{}", options.join("&")),
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready as ready_with;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use proptest::prelude::*;

    use super::*;

    /// Returns the result of a future that never waits.
    fn ready<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("it waits"),
        }
    }

    proptest! {
        #[test]
        fn without_options_to_ignore_a_string_stays_as_it_is(
            base in "[^?]{0,20}", options in prop::collection::vec("[a-z]{1,5}=[^?&]{0,5}", 0..4),
        ) {
            let uri = join(&base, options.iter().map(String::as_str));
            let (kept, ignored) = without_ignored(&uri);
            prop_assert_eq!(kept, uri.trim());
            prop_assert!(ignored.is_empty());
        }

        #[test]
        fn exactly_the_options_that_are_wrong_are_named(
            options in prop::collection::vec("(good|wrong)[a-z]{0,5}", 0..6),
        ) {
            prop_assume!(options.iter().any(|option| option.starts_with("wrong")));
            let pairs: Vec<_> = options.iter().map(|name| format!("{name}=1")).collect();
            let uri = join("mongodb://host/", pairs.iter().map(String::as_str));
            let sentence = ready(mistake(&uri, |uri| ready_with(!uri.contains("wrong"))));
            let (_, named) = sentence.split_once(": ").expect("names");
            let wrong = options.iter().filter(|option| option.starts_with("wrong"));
            prop_assert_eq!(named, wrong.cloned().collect::<Vec<_>>().join(", "));
        }

        #[test]
        fn a_sentence_holds_no_part_of_a_password(
            before in "[!-~]{0,6}", after in "[!-~]{0,6}", options in "(w=1&?|x&|tls=2)?",
            accepted in prop::collection::vec(any::<bool>(), 20),
        ) {
            let uri = format!("mongodb://user:{before}HXNQRZ{after}@host/?{options}");
            let results = std::cell::RefCell::new(accepted.into_iter().cycle());
            let is_accepted = |_| ready_with(results.borrow_mut().next().expect("endless"));
            let sentence = ready(mistake(&uri, is_accepted));
            prop_assert!(!sentence.contains("HXNQRZ"), "{sentence}");
        }
    }
}
