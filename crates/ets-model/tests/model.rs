//! Every state of the design, and with each bug a way to what it breaks.

use ets_model::{Bug, Ledger};
use stateright::{Checker as _, HasDiscoveries, Model as _};

fn ledger(bug: Bug) -> Ledger {
    Ledger { bug, sessions: 2, streams: 2, events: 3, seals: 2 }
}

#[test]
fn every_state_of_the_design_holds() {
    let checked = ledger(Bug::None).checker().threads(2).spawn_bfs().join();
    println!("{} states, {} deep", checked.unique_state_count(), checked.max_depth());
    checked.assert_properties();
    assert!(checked.unique_state_count() > 10_000, "the model has lost its states");
}

#[test]
fn each_bug_is_found() {
    for (bug, property) in [
        (Bug::HeadWithoutLock, "no stream forks"),
        (Bug::SealById, "what a seal could see has a leaf"),
        (Bug::ForeignSnapshot, "what a seal could see has a leaf"),
        (Bug::HighWaterReplaced, "another history is told"),
    ] {
        let checked = ledger(bug)
            .checker()
            .threads(2)
            .finish_when(HasDiscoveries::AnyOf([property].into()))
            .spawn_bfs()
            .join();
        assert!(checked.discovery(property).is_some(), "{bug:?}: {property}");
    }
}
