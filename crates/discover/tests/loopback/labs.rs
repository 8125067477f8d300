//! The exercise: is the count exact?

use directive::record::{InstanceState, Owner, Status};
use lab::Lab;

use super::*;

#[test]
fn the_lab_has_exactly_three_instances_with_the_right_versions() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::build(dir.path()).unwrap();
    let scope = Scope::parse("scope.toml", &std::fs::read_to_string(lab.scope_file()).unwrap()).unwrap();
    // The second pack makes every address wait for a banner first; nothing else may change.
    for packs in [&["ed-21-03"][..], &["ed-21-03", "openssh-cve-2024-6387"]] {
        let outcome = find(packs, &scope, &Unwatched);
        let found: Vec<_> = outcome
            .instances
            .iter()
            .map(|i| (i.name.as_str(), i.state, i.version.value.as_deref(), i.version.status, i.has_evidence))
            .collect();
        let identified = InstanceState::Identified;
        assert_eq!(
            found,
            [
                ("vpn1", identified, Some("9.1R10"), Status::Affected, true),
                ("vpn2", identified, Some("9.1R10"), Status::Affected, true),
                ("vpn3", identified, Some("9.1R9"), Status::Affected, false),
            ]
        );
        assert!(matches!(&outcome.instances[2].owner, Owner::ThirdParty { commercial: true, .. }));
        assert_eq!(outcome.gaps, []);
        let ledger = &outcome.ledger;
        assert_eq!((ledger.addresses, ledger.answered, ledger.refused), (8, 3, 5), "{ledger:?}");
        assert_eq!(ledger.filtered + ledger.silent + ledger.not_asked + ledger.excluded, 0);
        // One connection for each address, over which the pages come; one more for each version that is named: does
        // a path that does not exist name it, too?
        assert_eq!(ledger.connections, 8 + 3);
    }
}

#[test]
fn an_instance_that_nobody_declared_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let lab = Lab::build(dir.path()).unwrap();
    let [_, second, _] = lab.addresses();
    let text = format!("networks = [\"{}\"]\nports = [{}]", second.ip(), second.port());
    let outcome = find(&["ed-21-03"], &scope(&text), &Unwatched);
    assert_eq!(shown(&outcome), format!("{second}=Identified"));
    let witness = &outcome.instances[0].version.witnesses[0];
    assert_eq!(witness.source, format!("http {second} /dana-na/nc/nc_gina_ver.txt"));
    assert!(witness.fakeable && !witness.exact);
}

#[test]
fn the_examples_of_the_shipped_fingerprints_pass() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/ed-21-03/fingerprints/pulse.xml");
    let database = recog::Database::parse("pulse.xml", &std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(database.check_examples(&|_| None), (5, vec![]));
}
