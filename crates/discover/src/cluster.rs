//! Cluster: do more instances stand behind one address than answer there?
//!
//! A load balancer shows one face for many machines, each of which has to be counted and checked. Its cookie, or nodes
//! that name themselves, say that it is there; how many stand behind it, only a person knows.
//! Serves ED 21-03 action 1. Source: F5 K6917 (`BIGipServer`), AWS "Sticky sessions" (`AWSALB`, `AWSELB`), HAProxy
//! configuration manual, `cookie` (`SERVERID`), Apache `mod_proxy_balancer` (`ROUTEID`), Barracuda
//! (`barra_counter_session`), Citrix (`citrix_ns_id`).

use crate::marks::Marks;

/// What the names of cookies of load balancers begin with, in small letters.
const COOKIES: [&str; 7] =
    ["bigipserver", "awsalb", "awselb", "serverid", "routeid", "barra_counter_session", "citrix_ns_id"];

/// Why more instances may stand there; usually nothing.
pub(crate) fn reason(marks: &Marks) -> Option<String> {
    let is_balancer = |cookie: &&String| {
        let cookie = cookie.to_ascii_lowercase();
        COOKIES.iter().any(|begins| cookie.starts_with(begins))
    };
    let nodes: Vec<&str> = marks.nodes.iter().map(String::as_str).take(5).collect();
    if nodes.len() > 1 {
        return Some(format!("it names itself differently from answer to answer: {}", nodes.join(", ")));
    }
    let cookie = marks.cookies.iter().find(is_balancer)?;
    Some(format!("its cookie {cookie} is one of a load balancer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cookies: &[&str], nodes: &[&str], expected: Option<&str>) {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let marks = Marks { cookies: owned(cookies), nodes: owned(nodes), ..Marks::default() };
        assert_eq!(reason(&marks).as_deref(), expected);
    }

    #[test]
    fn a_balancers_cookie_or_two_nodes_tell_that_there_may_be_more() {
        check(&["DSSignInURL"], &["a"], None);
        check(&["BIGipServerpool_vpn"], &[], Some("its cookie BIGipServerpool_vpn is one of a load balancer"));
        check(&[], &["a", "b"], Some("it names itself differently from answer to answer: a, b"));
    }
}
