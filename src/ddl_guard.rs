//! The event triggers that keep the guards armed.
//!
//! Row triggers say what may happen to rows; these say what may happen to the
//! row triggers. At the start of a command its parse tree is looked at: what
//! would take the ledger away, or change what its triggers see, is refused
//! (ET009). Around whatever else touches the ledger a ratchet turns: what was
//! armed at the start must be armed at the end.
//!
//! A command that touches nothing of the ledger costs a look at one name. Past
//! this lies what event triggers do not see: ALTER and DROP EVENT TRIGGER, the
//! setting event_triggers (PostgreSQL 17), changes of the catalog, bytes on disk.
//! Those are verification's to find.

mod extension;

use std::cell::RefCell;
use std::ffi::{CStr, c_char};

use pgrx::pg_sys::{self, AlterTableType as At, Datum, Node, NodeTag, ObjectType, Oid};
use serde_json::json;

use crate::db::{self, View};
use crate::declared;
use crate::error::{Error, Result, sqlstate};
use crate::function::Call;
use crate::transaction;
use crate::value::Value;

crate::sql_functions! {
    ets_ddl_guard pg_finfo_ets_ddl_guard => ddl_guard;
}

/// How the event triggers' names begin.
const EVENT_TRIGGERS: &str = "ets_ddl_";

fn ddl_guard(call: &Call) -> Result<Datum> {
    let command = Command::of(call)?;
    // The ledger's own script, as of ets.arm, or that of an update of the extension.
    if db::is_writing() || in_own_script() {
        return Ok(Datum::null());
    }
    if command.is_start {
        match concern(command.tree)? {
            Concern::None => {}
            Concern::Ledger => remember(command.tree, armed()?),
            Concern::Refused(object) => return Err(refusal(&command.tag, &object)),
        }
    } else if let Some(before) = take(command.tree) {
        let after = armed()?;
        if let Some(lost) = before.iter().find(|item| !after.contains(item)) {
            return Err(refusal(&command.tag, &lost.object));
        }
    }
    Ok(Datum::null())
}

fn refusal(command: &str, object: &str) -> Error {
    Error::new(
        sqlstate::APPEND_ONLY,
        format!("{command} is refused: it would disarm or change {object} of the append-only ledger"),
    )
    .detail(json!({"command": command, "object": object}))
    .hint("indexes, statistics, storage settings, privileges and row-level security may be changed; DROP EXTENSION … CASCADE takes the guards off and leaves the data")
}

/// What Postgres tells an event trigger.
struct Command {
    is_start: bool,
    tag: String,
    tree: *mut Node,
}

impl Command {
    fn of(call: &Call) -> Result<Command> {
        // SAFETY: the context of an event trigger's call is an EventTriggerData,
        // which its tag tells; its strings are NUL-terminated.
        unsafe {
            let context = (*call.info()).context;
            if context.is_null() || (*context).type_ != NodeTag::T_EventTriggerData {
                return Err(Error::new(c"39P03", "this function is an event trigger of the ledger")
                    .hint("it cannot be called by itself"));
            }
            let data: *mut pg_sys::EventTriggerData = context.cast();
            Ok(Command {
                is_start: CStr::from_ptr((*data).event) == c"ddl_command_start",
                tag: CStr::from_ptr(pg_sys::GetCommandTagName((*data).tag)).to_string_lossy().into_owned(),
                tree: (*data).parsetree,
            })
        }
    }
}

/// How a command concerns the ledger.
enum Concern {
    None,
    /// It touches the ledger in a way that may be harmless: the ratchet turns.
    Ledger,
    /// It would change this object, which must not be.
    Refused(String),
}

impl Concern {
    fn refused_if(object: Option<String>) -> Concern {
        object.map_or(Concern::None, Concern::Refused)
    }
}

fn concern(tree: *mut Node) -> Result<Concern> {
    // SAFETY: the parse tree is live while the command runs, and each node is
    // what its tag says.
    unsafe {
        Ok(match (*tree).type_ {
            NodeTag::T_AlterTableStmt => alter_table(&*tree.cast()),
            NodeTag::T_CreateStmt | NodeTag::T_CreateForeignTableStmt => create_table(&*tree.cast()),
            NodeTag::T_DropStmt => drop_objects(&*tree.cast()),
            NodeTag::T_RenameStmt => rename(&*tree.cast()),
            NodeTag::T_AlterObjectSchemaStmt => {
                let statement: &pg_sys::AlterObjectSchemaStmt = &*tree.cast();
                if statement.objectType == ObjectType::OBJECT_EXTENSION {
                    return Ok(extension::moved(statement));
                }
                let moved = ledger_table(statement.relation)
                    .or_else(|| relation_of_kind(statement.relation, is_view));
                Concern::refused_if(moved.or_else(|| function(statement.object)))
            }
            NodeTag::T_AlterObjectDependsStmt => {
                let statement: &pg_sys::AlterObjectDependsStmt = &*tree.cast();
                Concern::refused_if(ledger_table(statement.relation).or_else(|| function(statement.object)))
            }
            NodeTag::T_AlterOwnerStmt => {
                let statement: &pg_sys::AlterOwnerStmt = &*tree.cast();
                Concern::refused_if(function(statement.object))
            }
            NodeTag::T_AlterFunctionStmt => {
                let statement: &pg_sys::AlterFunctionStmt = &*tree.cast();
                Concern::refused_if(function(statement.func.cast()))
            }
            NodeTag::T_CreateFunctionStmt => {
                let statement: &pg_sys::CreateFunctionStmt = &*tree.cast();
                Concern::refused_if(created_function(statement.funcname))
            }
            NodeTag::T_ViewStmt => {
                let statement: &pg_sys::ViewStmt = &*tree.cast();
                Concern::refused_if(relation_of_kind(statement.view, is_view))
            }
            NodeTag::T_RuleStmt => {
                let statement: &pg_sys::RuleStmt = &*tree.cast();
                Concern::refused_if(ledger_table(statement.relation))
            }
            NodeTag::T_CreateTrigStmt => create_trigger(&*tree.cast()),
            NodeTag::T_CreateExtensionStmt => extension::created(&*tree.cast()),
            NodeTag::T_AlterExtensionContentsStmt => extension_contents(&*tree.cast()),
            NodeTag::T_DropOwnedStmt => drop_owned(&*tree.cast())?,
            _ => Concern::None,
        })
    }
}

/// Of a ledger's table only what changes neither columns, triggers nor rows; of
/// another, that it does not become a child of one.
unsafe fn alter_table(statement: &pg_sys::AlterTableStmt) -> Concern {
    const HARMLESS: [At::Type; 19] = [
        At::AT_SetStatistics,
        At::AT_SetOptions,
        At::AT_ResetOptions,
        At::AT_SetStorage,
        At::AT_SetCompression,
        At::AT_ClusterOn,
        At::AT_DropCluster,
        At::AT_SetLogged,
        At::AT_SetTableSpace,
        At::AT_SetRelOptions,
        At::AT_ResetRelOptions,
        At::AT_ReplaceRelOptions,
        At::AT_ReplicaIdentity,
        At::AT_ChangeOwner,
        At::AT_EnableRowSecurity,
        At::AT_DisableRowSecurity,
        At::AT_ForceRowSecurity,
        At::AT_NoForceRowSecurity,
        At::AT_EnableAlwaysTrig,
    ];
    // SAFETY: per concern().
    unsafe {
        let table = ledger_table(statement.relation);
        for command in items::<pg_sys::AlterTableCmd>(statement.cmds) {
            let command = &*command;
            if table.is_some() && !HARMLESS.contains(&command.subtype) {
                return Concern::refused_if(table);
            }
            if command.subtype == At::AT_AddInherit
                && let Some(parent) = ledger_table(command.def.cast())
            {
                return Concern::Refused(parent);
            }
            // As a partition it could be written through its parent, whose
            // statements fire none of its statement triggers.
            if command.subtype == At::AT_AttachPartition
                && let Some(partition) = command.def.cast::<pg_sys::PartitionCmd>().as_ref()
                && let Some(child) = ledger_table(partition.name)
            {
                return Concern::Refused(child);
            }
        }
        if table.is_some() { Concern::Ledger } else { Concern::None }
    }
}

/// A child's rows would be read through the ledger's table, and pass no gate. A
/// new partition is empty, and stays the business of the partitioned table.
unsafe fn create_table(statement: &pg_sys::CreateStmt) -> Concern {
    if !statement.partbound.is_null() {
        return Concern::None;
    }
    // SAFETY: per concern().
    let parent =
        unsafe { items::<pg_sys::RangeVar>(statement.inhRelations).find_map(|parent| ledger_table(parent)) };
    Concern::refused_if(parent)
}

unsafe fn drop_objects(statement: &pg_sys::DropStmt) -> Concern {
    // SAFETY: per concern(); what a name looks like depends on the kind (gram.y).
    let found = unsafe {
        items::<Node>(statement.objects).find_map(|object| match statement.removeType {
            ObjectType::OBJECT_TABLE | ObjectType::OBJECT_FOREIGN_TABLE => {
                relation_of(&strings(object.cast()))
            }
            ObjectType::OBJECT_TRIGGER => {
                let names = strings(object.cast());
                let (name, table) = names.split_last()?;
                let table = relation_of(table)?;
                is_own_trigger(name).then(|| format!("trigger {} on {table}", name.to_string_lossy()))
            }
            ObjectType::OBJECT_FUNCTION | ObjectType::OBJECT_PROCEDURE | ObjectType::OBJECT_ROUTINE => {
                function(object)
            }
            ObjectType::OBJECT_VIEW => dotted(&strings(object.cast()), is_view),
            ObjectType::OBJECT_INDEX => dotted(&strings(object.cast()), is_index),
            ObjectType::OBJECT_SCHEMA => schema(string(object)),
            _ => None,
        })
    };
    Concern::refused_if(found)
}

unsafe fn rename(statement: &pg_sys::RenameStmt) -> Concern {
    // SAFETY: per concern().
    unsafe {
        Concern::refused_if(match statement.renameType {
            ObjectType::OBJECT_SCHEMA => schema(c_str(statement.subname)),
            ObjectType::OBJECT_FUNCTION | ObjectType::OBJECT_PROCEDURE | ObjectType::OBJECT_ROUTINE => {
                function(statement.object)
            }
            _ => ledger_table(statement.relation)
                .or_else(|| relation_of_kind(statement.relation, is_view))
                .or_else(|| relation_of_kind(statement.relation, is_index)),
        })
    }
}

/// Another row trigger could change a row behind the gate or drop it, and one of
/// the ledger's own must stay what it is.
unsafe fn create_trigger(statement: &pg_sys::CreateTrigStmt) -> Concern {
    // SAFETY: per concern().
    unsafe {
        let own = c_str(statement.trigname).is_some_and(is_own_trigger);
        match ledger_table(statement.relation) {
            Some(table) if statement.row || own => Concern::Refused(table),
            Some(_) => Concern::Ledger,
            None => Concern::None,
        }
    }
}

/// What belongs to an extension goes with it.
unsafe fn extension_contents(statement: &pg_sys::AlterExtensionContentsStmt) -> Concern {
    // SAFETY: per concern().
    unsafe {
        let object = statement.object;
        Concern::refused_if(match statement.objtype {
            ObjectType::OBJECT_TABLE => relation_of(&strings(object.cast())),
            ObjectType::OBJECT_SCHEMA => schema(string(object)),
            ObjectType::OBJECT_FUNCTION | ObjectType::OBJECT_PROCEDURE | ObjectType::OBJECT_ROUTINE => {
                function(object)
            }
            ObjectType::OBJECT_VIEW => dotted(&strings(object.cast()), is_view),
            ObjectType::OBJECT_INDEX => dotted(&strings(object.cast()), is_index),
            ObjectType::OBJECT_EVENT_TRIGGER => string(object)
                .map(|name| name.to_string_lossy())
                .filter(|name| name.starts_with(EVENT_TRIGGERS))
                .map(|name| format!("event trigger {name}")),
            _ => None,
        })
    }
}

/// The owner's DROP OWNED would take the event triggers along, and with them
/// whoever could object at its end.
unsafe fn drop_owned(statement: &pg_sys::DropOwnedStmt) -> Result<Concern> {
    // SAFETY: per concern().
    let roles = unsafe {
        items::<pg_sys::RoleSpec>(statement.roles)
            .map(|role| i64::from(u32::from(pg_sys::get_rolespec_oid(role, true))))
            .collect()
    };
    let owned = db::first(
        View::Latest,
        "WITH ledger (namespace) AS (
             SELECT namespace.oid FROM pg_catalog.pg_namespace AS namespace
              WHERE namespace.nspname OPERATOR(pg_catalog.=) 'ets'
         ), owned (owner, object) AS (
             SELECT class.relowner, 'ets.' OPERATOR(pg_catalog.||) class.relname
               FROM pg_catalog.pg_class AS class, ledger
              WHERE class.relnamespace OPERATOR(pg_catalog.=) ledger.namespace
              UNION ALL
             SELECT routine.proowner, 'ets.' OPERATOR(pg_catalog.||) routine.proname
               FROM pg_catalog.pg_proc AS routine, ledger
              WHERE routine.pronamespace OPERATOR(pg_catalog.=) ledger.namespace
              UNION ALL
             SELECT namespace.nspowner, 'schema ets' FROM pg_catalog.pg_namespace AS namespace, ledger
              WHERE namespace.oid OPERATOR(pg_catalog.=) ledger.namespace
              UNION ALL
             SELECT event_trigger.evtowner, 'event trigger ' OPERATOR(pg_catalog.||) event_trigger.evtname
               FROM pg_catalog.pg_event_trigger AS event_trigger
               JOIN pg_catalog.pg_proc AS routine ON routine.oid OPERATOR(pg_catalog.=) event_trigger.evtfoid
               JOIN ledger ON routine.pronamespace OPERATOR(pg_catalog.=) ledger.namespace
         )
         SELECT owned.object FROM owned
          WHERE CAST(owned.owner AS pg_catalog.int8) OPERATOR(pg_catalog.=) ANY ($1) LIMIT 1",
        &[Value::IntArray(roles)],
        |row| Ok(row.text(1)),
    )?;
    Ok(owned.flatten().map_or(Concern::Ledger, Concern::Refused))
}

/// A guard, and all of it that must not change.
#[derive(PartialEq, Eq)]
struct Armed {
    object: String,
    definition: String,
}

/// Everything that is armed now, by the catalog and with this command's effects.
fn armed() -> Result<Vec<Armed>> {
    db::query(
        View::Latest,
        "WITH ledger (namespace) AS (
             SELECT namespace.oid FROM pg_catalog.pg_namespace AS namespace
              WHERE namespace.nspname OPERATOR(pg_catalog.=) 'ets'
         )
         SELECT pg_catalog.concat('table ets.', class.relname),
                pg_catalog.concat_ws(' ', class.oid, class.relkind, class.relpersistence, class.relhasrules,
                  (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', attribute.attname, attribute.atttypid,
                            attribute.atttypmod, attribute.attcollation, attribute.attnotnull,
                            attribute.attisdropped), ',' ORDER BY attribute.attnum USING OPERATOR(pg_catalog.<))
                     FROM pg_catalog.pg_attribute AS attribute
                    WHERE attribute.attrelid OPERATOR(pg_catalog.=) class.oid
                      AND attribute.attnum OPERATOR(pg_catalog.>) 0))
           FROM pg_catalog.pg_class AS class, ledger
          WHERE class.relnamespace OPERATOR(pg_catalog.=) ledger.namespace
            AND class.relkind OPERATOR(pg_catalog.=) ANY ('{r,p}')
          UNION ALL
         SELECT pg_catalog.concat('trigger ', trigger.tgname, ' on ets.', class.relname),
                pg_catalog.concat_ws(' ', trigger.tgtype, trigger.tgfoid, trigger.tgenabled,
                  trigger.tgattr, trigger.tgqual)
           FROM pg_catalog.pg_trigger AS trigger
           JOIN pg_catalog.pg_class AS class ON class.oid OPERATOR(pg_catalog.=) trigger.tgrelid
           JOIN ledger ON class.relnamespace OPERATOR(pg_catalog.=) ledger.namespace
           JOIN pg_catalog.pg_proc AS routine ON routine.oid OPERATOR(pg_catalog.=) trigger.tgfoid
            AND routine.pronamespace OPERATOR(pg_catalog.=) ledger.namespace
          WHERE trigger.tgenabled OPERATOR(pg_catalog.=) 'A'
          UNION ALL
         SELECT pg_catalog.concat('event trigger ', event_trigger.evtname),
                pg_catalog.concat_ws(' ', event_trigger.evtevent, event_trigger.evtfoid, event_trigger.evtenabled,
                  pg_catalog.array_to_string(event_trigger.evttags, ','))
           FROM pg_catalog.pg_event_trigger AS event_trigger
           JOIN pg_catalog.pg_proc AS routine ON routine.oid OPERATOR(pg_catalog.=) event_trigger.evtfoid
           JOIN ledger ON routine.pronamespace OPERATOR(pg_catalog.=) ledger.namespace
          WHERE event_trigger.evtenabled OPERATOR(pg_catalog.=) 'A'
          UNION ALL
         SELECT pg_catalog.concat('function ets.', routine.proname),
                pg_catalog.concat_ws(' ', routine.prolang, routine.prosrc, routine.probin, routine.prosecdef,
                  pg_catalog.array_to_string(routine.proconfig, ','))
           FROM pg_catalog.pg_proc AS routine
           JOIN ledger ON routine.pronamespace OPERATOR(pg_catalog.=) ledger.namespace
          WHERE routine.proname OPERATOR(pg_catalog.=) ANY ('{gate,guard,ddl_guard}')",
        &[],
        |row| {
            Ok(Armed {
                object: row.text(1).unwrap_or_default(),
                definition: row.text(2).unwrap_or_default(),
            })
        },
    )
}

/// What was armed when a command started that has not ended yet. Commands nest:
/// a DO block or another event trigger may run one inside another.
struct Started {
    tree: *mut Node,
    subtransaction: pg_sys::SubTransactionId,
    armed: Vec<Armed>,
}

thread_local! {
    static STARTED: RefCell<Vec<Started>> = const { RefCell::new(Vec::new()) };
}

fn remember(tree: *mut Node, armed: Vec<Armed>) {
    transaction::watch();
    // SAFETY: reads a static of the transaction manager.
    let subtransaction = unsafe { pg_sys::GetCurrentSubTransactionId() };
    STARTED.with_borrow_mut(|started| started.push(Started { tree, subtransaction, armed }));
}

fn take(tree: *mut Node) -> Option<Vec<Armed>> {
    STARTED.with_borrow_mut(|started| {
        let place = started.iter().rposition(|command| command.tree == tree)?;
        started.truncate(place + 1);
        started.pop().map(|command| command.armed)
    })
}

/// Forgets the commands of a subtransaction that was rolled back, and of those
/// inside it.
pub fn forget_from(subtransaction: pg_sys::SubTransactionId) {
    STARTED.with_borrow_mut(|started| started.retain(|command| command.subtransaction < subtransaction));
}

/// Whether the script of this extension itself is running.
fn in_own_script() -> bool {
    // SAFETY: reads statics, and looks a name up.
    unsafe {
        pg_sys::creating_extension
            && pg_sys::CurrentExtensionObject == pg_sys::get_extension_oid(c"pg_ets".as_ptr(), true)
    }
}

/// The table of the ledger that a statement names, as `table ets.…`: any table in
/// schema `ets`.
unsafe fn ledger_table(name: *const pg_sys::RangeVar) -> Option<String> {
    // SAFETY: per concern().
    unsafe { relation_of_kind(name, is_table) }
}

/// As [`ledger_table`], of a dotted name.
unsafe fn relation_of(names: &[&CStr]) -> Option<String> {
    // SAFETY: per concern().
    unsafe { dotted(names, is_table) }
}

/// What a relation in schema `ets` is called where it must stay, by `pg_class.relkind`
/// and name.
type Kind = fn(u8, &str) -> Option<&'static str>;

fn is_table(kind: u8, _: &str) -> Option<&'static str> {
    matches!(kind, b'r' | b'p').then_some("table")
}

/// A view that ets.arm makes. Other views are their owners' business.
fn is_view(kind: u8, name: &str) -> Option<&'static str> {
    (kind == b'v' && declared::views().iter().any(|view| view.name == name)).then_some("view")
}

/// An index that the ledger's tables were made with.
fn is_index(kind: u8, name: &str) -> Option<&'static str> {
    (matches!(kind, b'i' | b'I') && declared::indexes().any(|index| index == name)).then_some("index")
}

unsafe fn relation_of_kind(name: *const pg_sys::RangeVar, kind: Kind) -> Option<String> {
    // SAFETY: null or a live node.
    unsafe {
        let name = name.as_ref()?;
        relation_named(c_str(name.schemaname), c_str(name.relname)?, kind)
    }
}

unsafe fn dotted(names: &[&CStr], kind: Kind) -> Option<String> {
    // SAFETY: per concern().
    unsafe {
        match names {
            [name] => relation_named(None, name, kind),
            [.., schema, name] => relation_named(Some(schema), name, kind),
            [] => None,
        }
    }
}

unsafe fn relation_named(schema: Option<&CStr>, name: &CStr, kind: Kind) -> Option<String> {
    if schema.is_some_and(|schema| schema != c"ets") {
        return None;
    }
    // SAFETY: looks names up in the catalog's caches; no answer is an invalid oid.
    unsafe {
        let ets = pg_sys::get_namespace_oid(c"ets".as_ptr(), true);
        if ets == Oid::INVALID {
            return None;
        }
        let relation = match schema {
            Some(_) => pg_sys::get_relname_relid(name.as_ptr(), ets),
            None => pg_sys::RelnameGetRelid(name.as_ptr()),
        };
        if relation == Oid::INVALID || pg_sys::get_rel_namespace(relation) != ets {
            return None;
        }
        let name = name.to_str().ok()?;
        let what = kind(pg_sys::get_rel_relkind(relation) as u8, name)?;
        Some(format!("{what} ets.{name}"))
    }
}

fn schema(name: Option<&CStr>) -> Option<String> {
    (name == Some(c"ets")).then(|| "schema ets".to_owned())
}

/// The extension's function that an object with arguments names. No two have one
/// name, so the arguments do not matter.
unsafe fn function(object: *mut Node) -> Option<String> {
    // SAFETY: null or a live node.
    unsafe {
        if object.is_null() || (*object).type_ != NodeTag::T_ObjectWithArgs {
            return None;
        }
        let object: &pg_sys::ObjectWithArgs = &*object.cast();
        let name = declared_name(object.objname)?;
        let ets = pg_sys::get_namespace_oid(c"ets".as_ptr(), true);
        let mut candidate = pg_sys::FuncnameGetCandidates(
            object.objname,
            -1,
            std::ptr::null_mut(),
            false,
            false,
            false,
            true,
        );
        while let Some(found) = candidate.as_ref() {
            if ets != Oid::INVALID && pg_sys::get_func_namespace(found.oid) == ets {
                return Some(name);
            }
            candidate = found.next;
        }
        None
    }
}

/// The extension's function that a CREATE would replace, or stand beside and catch
/// calls of.
unsafe fn created_function(names: *mut pg_sys::List) -> Option<String> {
    // SAFETY: a live list of strings; the search path is a list of oids.
    unsafe {
        let name = declared_name(names)?;
        let ets = pg_sys::get_namespace_oid(c"ets".as_ptr(), true);
        if length(names) > 1 {
            return (ets != Oid::INVALID).then_some(name);
        }
        let path = pg_sys::fetch_search_path(false).as_ref()?;
        let first = (path.length > 0).then(|| (*path.elements).oid_value)?;
        (first == ets).then_some(name)
    }
}

/// `function ets.…`, if a name could be that of a function of the extension.
unsafe fn declared_name(names: *mut pg_sys::List) -> Option<String> {
    // SAFETY: a live list of strings.
    let names = unsafe { strings(names) };
    let (last, schema) = names.split_last()?;
    let is_ets = schema.last().is_none_or(|schema| *schema == c"ets");
    let last = last.to_str().ok()?;
    (is_ets && declared::is_function(last)).then(|| format!("function ets.{last}"))
}

fn is_own_trigger(name: &CStr) -> bool {
    name == c"ets_guard" || name.to_bytes().starts_with(b"zz_ets_")
}

unsafe fn c_str<'a>(text: *const c_char) -> Option<&'a CStr> {
    // SAFETY: null or a C string in the parse tree.
    unsafe { (!text.is_null()).then(|| CStr::from_ptr(text)) }
}

unsafe fn string<'a>(node: *mut Node) -> Option<&'a CStr> {
    // SAFETY: null or a live node.
    unsafe {
        if node.is_null() || (*node).type_ != NodeTag::T_String {
            return None;
        }
        c_str((*node.cast::<pg_sys::String>()).sval)
    }
}

unsafe fn strings<'a>(list: *mut pg_sys::List) -> Vec<&'a CStr> {
    // SAFETY: null or a live list of nodes.
    unsafe { items::<Node>(list).filter_map(|node| string(node)).collect() }
}

unsafe fn length(list: *mut pg_sys::List) -> usize {
    // SAFETY: null or a live list.
    unsafe { list.as_ref().map_or(0, |list| usize::try_from(list.length).unwrap_or(0)) }
}

unsafe fn items<T>(list: *mut pg_sys::List) -> impl Iterator<Item = *mut T> {
    // SAFETY: null or a live list of pointers, which has as many cells as it says.
    unsafe { (0..length(list)).map(move |index| (*(*list).elements.add(index)).ptr_value.cast()) }
}
