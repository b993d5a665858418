//! What appends, seals, a crash and a restore do to one another, small enough to
//! look at every state. It follows `src/heads.rs`, `src/seal/unsealed.rs` and
//! `src/high_water.rs`, and shares no code with them: it tests the design.
//!
//! Left out: several domains, more than one event a transaction, and a crash
//! between a seal's commit and its high-water file.

use std::collections::BTreeSet;

use stateright::{Model, Property};

/// What one thing is done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    None,
    /// The head is compared, and not locked.
    HeadWithoutLock,
    /// A seal takes what has a greater id than the last leaf.
    SealById,
    /// A seal believes the snapshot of another cluster.
    ForeignSnapshot,
    /// The high-water file is replaced where it is ahead of the ledger.
    HighWaterReplaced,
}

/// How far to look.
pub struct Ledger {
    pub bug: Bug,
    pub sessions: usize,
    pub streams: u8,
    pub events: u8,
    pub seals: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row {
    pub id: u8,
    pub stream: u8,
    /// The id of the event before; 0: none.
    pub previous: u8,
    pub transaction: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Session {
    Idle,
    /// Has read the head, and signs.
    Read {
        stream: u8,
        previous: u8,
    },
    /// Has moved the head and holds its lock.
    Inserted(Row),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snapshot {
    cluster: u8,
    next: u8,
    running: BTreeSet<u8>,
}

impl Snapshot {
    fn sees(&self, transaction: u8) -> bool {
        transaction < self.next && !self.running.contains(&transaction)
    }
}

/// What a copy of the database holds: what has committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Data {
    pub rows: BTreeSet<Row>,
    /// The tree of each checkpoint.
    pub checkpoints: Vec<Vec<u8>>,
    since: Option<Snapshot>,
    foreign: bool,
    next_transaction: u8,
    /// Not in the ledger: what the last seal had to take.
    due: BTreeSet<u8>,
}

impl Data {
    pub fn tree(&self) -> &[u8] {
        self.checkpoints.last().map_or(&[], Vec::as_slice)
    }

    fn head(&self, stream: u8) -> u8 {
        self.rows.iter().filter(|row| row.stream == stream).map(|row| row.id).max().unwrap_or(0)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub data: Data,
    pub sessions: Vec<Session>,
    /// A seal that has its lock and snapshot.
    sealing: Option<(Snapshot, BTreeSet<Row>)>,
    copy: Option<Data>,
    cluster: u8,
    next_id: u8,
    seals: u8,
    pub crashed: bool,
    pub restored: bool,
    /// Outside: number and tree of the newest checkpoint.
    high_water: Option<(usize, Vec<u8>)>,
    /// Not in the ledger: the trees that somebody has seen.
    published: BTreeSet<Vec<u8>>,
}

impl State {
    /// Whether the high-water file's checkpoint is not the ledger's.
    pub fn differs(&self) -> bool {
        self.high_water
            .as_ref()
            .is_some_and(|(number, tree)| self.data.checkpoints.get(*number) != Some(tree))
    }

    fn running(&self) -> BTreeSet<u8> {
        let inserted = |session: &Session| match session {
            Session::Inserted(row) => Some(row.transaction),
            _ => None,
        };
        self.sessions.iter().filter_map(inserted).collect()
    }

    fn stop(&mut self) {
        self.sessions.fill(Session::Idle);
        self.sealing = None;
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Read(usize, u8),
    Insert(usize),
    Commit(usize),
    Abort(usize),
    BeginSeal,
    CommitSeal,
    Crash,
    Copy,
    /// The copy, started where it was; or loaded into a new cluster.
    Restore {
        new_cluster: bool,
    },
}

impl Model for Ledger {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let data = Data {
            rows: BTreeSet::new(),
            checkpoints: Vec::new(),
            since: None,
            foreign: false,
            next_transaction: 1,
            due: BTreeSet::new(),
        };
        vec![State {
            data,
            sessions: vec![Session::Idle; self.sessions],
            sealing: None,
            copy: None,
            cluster: 0,
            next_id: 1,
            seals: 0,
            crashed: false,
            restored: false,
            high_water: None,
            published: BTreeSet::new(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (index, session) in state.sessions.iter().enumerate() {
            match session {
                Session::Idle if state.next_id <= self.events => {
                    actions.extend((0..self.streams).map(|stream| Action::Read(index, stream)));
                }
                Session::Idle => {}
                Session::Read { .. } => actions.push(Action::Insert(index)),
                Session::Inserted(_) => actions.extend([Action::Commit(index), Action::Abort(index)]),
            }
        }
        match state.sealing {
            Some(_) => actions.push(Action::CommitSeal),
            None if state.seals < self.seals => actions.push(Action::BeginSeal),
            None => {}
        }
        if !state.crashed {
            actions.push(Action::Crash);
        }
        if state.copy.is_none() {
            actions.push(Action::Copy);
        } else if !state.restored {
            actions.extend([true, false].map(|new_cluster| Action::Restore { new_cluster }));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Read(index, stream) => {
                state.sessions[index] = Session::Read { stream, previous: state.data.head(stream) };
            }
            Action::Insert(index) => {
                let Session::Read { stream, previous } = state.sessions[index] else { return None };
                let locked = state
                    .sessions
                    .iter()
                    .any(|held| matches!(held, Session::Inserted(row) if row.stream == stream));
                if locked && self.bug != Bug::HeadWithoutLock {
                    return None; // Waits.
                }
                if state.next_id > self.events {
                    return None;
                }
                state.sessions[index] = if state.data.head(stream) == previous {
                    let row =
                        Row { id: state.next_id, stream, previous, transaction: state.data.next_transaction };
                    state.next_id += 1;
                    state.data.next_transaction += 1;
                    Session::Inserted(row)
                } else {
                    Session::Idle // Refused: the stream has moved.
                };
            }
            Action::Commit(index) => {
                let Session::Inserted(row) = state.sessions[index].clone() else { return None };
                state.data.rows.insert(row);
                state.sessions[index] = Session::Idle;
            }
            Action::Abort(index) => state.sessions[index] = Session::Idle,
            Action::BeginSeal => {
                let snapshot = Snapshot {
                    cluster: state.cluster,
                    next: state.data.next_transaction,
                    running: state.running(),
                };
                state.seals += 1;
                state.sealing = Some((snapshot, state.data.rows.clone()));
            }
            Action::CommitSeal => self.commit_seal(&mut state)?,
            Action::Crash => {
                state.stop();
                state.crashed = true;
            }
            Action::Copy => state.copy = Some(state.data.clone()),
            Action::Restore { new_cluster } => {
                state.data = state.copy.clone()?;
                state.stop();
                state.restored = true;
                if new_cluster {
                    state.cluster += 1;
                    state.data.next_transaction = 1;
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no stream forks", |_, state: &State| {
                let mut seen = BTreeSet::new();
                state.data.rows.iter().all(|row| seen.insert((row.stream, row.previous)))
            }),
            Property::always("what a seal could see has a leaf", |_, state: &State| {
                state.data.due.iter().all(|id| state.data.tree().contains(id))
            }),
            Property::always("a leaf is there once, and has its row", |_, state: &State| {
                let mut seen = BTreeSet::new();
                let has_row = |id: &u8| state.data.rows.iter().any(|row| row.id == *id);
                state.data.tree().iter().all(|id| seen.insert(id) && has_row(id))
            }),
            Property::always("a tree keeps each stream's order", |_, state: &State| {
                let place = |id: u8| state.data.tree().iter().position(|leaf| *leaf == id);
                state.data.rows.iter().filter(|row| row.previous != 0).all(|row| match place(row.id) {
                    Some(here) => place(row.previous).is_some_and(|before| before < here),
                    None => true,
                })
            }),
            Property::always("trees only grow", |_, state: &State| {
                state.data.checkpoints.windows(2).all(|two| two[1].starts_with(&two[0]))
            }),
            Property::always("another history is told", |_, state: &State| {
                state.differs() || state.published.iter().all(|tree| state.data.tree().starts_with(tree))
            }),
            Property::sometimes("commits out of the order of ids, the first sealed", |_, state: &State| {
                state.data.tree().windows(2).any(|two| two[0] > two[1])
            }),
            Property::sometimes("an older copy is told", |_, state: &State| {
                state.restored && state.differs()
            }),
            Property::sometimes("sealed in a new cluster", |_, state: &State| {
                state.cluster > 0 && state.data.foreign && state.data.checkpoints.len() > 1
            }),
            Property::sometimes("a crash, then a longer tree", |_, state: &State| {
                state.crashed && state.data.checkpoints.len() > 1
            }),
        ]
    }
}

impl Ledger {
    fn commit_seal(&self, state: &mut State) -> Option<()> {
        let (snapshot, visible) = state.sealing.take()?;
        let believed = state
            .data
            .since
            .as_ref()
            .filter(|since| since.cluster == state.cluster || self.bug == Bug::ForeignSnapshot);
        let foreign = self.bug != Bug::ForeignSnapshot
            && (state.data.foreign
                || believed.is_none() && (state.cluster > 0 || !state.data.checkpoints.is_empty()));
        let mut tree = state.data.tree().to_vec();
        let is_new = |row: &&Row| match believed {
            _ if self.bug == Bug::SealById => tree.iter().max().is_none_or(|last| row.id > *last),
            None => !tree.contains(&row.id),
            Some(since) => {
                !since.sees(row.transaction)
                    && (!state.data.foreign || row.transaction < snapshot.next && !tree.contains(&row.id))
            }
        };
        let new: Vec<u8> = visible.iter().filter(is_new).map(|row| row.id).collect();
        tree.extend(new);
        let ahead = state.differs();
        state.data.due = visible.iter().map(|row| row.id).collect();
        state.data.since = Some(snapshot);
        state.data.foreign = foreign;
        state.data.checkpoints.push(tree.clone());
        if !ahead || self.bug == Bug::HighWaterReplaced {
            state.high_water = Some((state.data.checkpoints.len() - 1, tree.clone()));
        }
        state.published.insert(tree);
        Some(())
    }
}
