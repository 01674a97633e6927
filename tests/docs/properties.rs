//! The table of the gateway's README with the properties of resources, from the rules of its code.

use local_gateway::template::properties;

use crate::generated;

#[test]
fn the_readme_of_the_gateway_has_the_properties_that_it_serves() {
    generated::check(
        "infra/gateway/README.md",
        "properties",
        &properties::table(),
    );
}
