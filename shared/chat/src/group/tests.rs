//! Rules that hold for any history of a group.

use proptest::prelude::*;

use super::*;
use crate::{ConversationId, Recipient};

const USERS: u8 = 5;
const MAX_MEMBERS: usize = 4;

fn user(number: u8) -> UserId {
    UserId::try_from(format!("u{}", number % USERS)).expect("a valid id")
}

/// What a user tries to do.
fn content() -> impl Strategy<Value = Content> {
    let user = || any::<u8>().prop_map(user);
    let title = || Title::try_from("t".to_owned()).expect("a title");
    let role = prop::sample::select(vec![Role::Owner, Role::Member]);
    prop_oneof![
        prop::collection::vec(user(), 1..3).prop_map(|users| Content::Join { users }),
        user().prop_map(leave),
        (user(), role).prop_map(|(user, role)| Content::SetRole { user, role }),
        Just(Content::Rename { title: title() }),
    ]
}

fn leave(user: UserId) -> Content {
    Content::Leave {
        user,
        new_owner: None,
    }
}

fn draft(sender: UserId, content: Content) -> Draft {
    let id = "group:0123456789012345678901".to_owned();
    Draft::new(sender, Recipient::Group(ConversationId::from(id)), content)
}

fn entry(seq: i64, draft: &Draft, content: &Content) -> Entry {
    Entry {
        message_id: String::new(),
        conversation_id: draft.conversation_id.clone(),
        seq,
        sender_id: draft.sender_id.to_string(),
        receiver_id: None,
        kind: content.kind(),
        target_seq: content.target_seq(),
        users: content.users().to_vec(),
        title: content.title().cloned(),
        role: content.role(),
        new_owner: content.new_owner().cloned(),
        history: content.history(),
        message: String::new(),
        timestamp: String::new(),
        client_message_id: None,
        edited_seq: None,
        deleted_seq: None,
        withheld: false,
    }
}

/// Plays attempts on a new group. Returns the entries that were permitted, and the group after each of them.
fn play(attempts: Vec<(u8, Content)>) -> (Vec<Entry>, Vec<Group>) {
    let create = Content::Create {
        title: Title::try_from("t".to_owned()).expect("a title"),
        users: vec![user(0), user(1)],
        history: History::default(),
    };
    let attempts = std::iter::once((0, create)).chain(attempts);
    let (mut entries, mut groups) = (Vec::new(), vec![Group::default()]);
    for (sender, content) in attempts {
        let draft = draft(user(sender), content);
        let mut group = groups.last().expect("one").clone();
        if let Ok(content) = group.permit(&draft, MAX_MEMBERS) {
            let entry = entry(entries.len() as i64 + 1, &draft, &content);
            group.apply(&entry);
            entries.push(entry);
            groups.push(group);
        }
    }
    (entries, groups)
}

fn attempts() -> impl Strategy<Value = Vec<(u8, Content)>> {
    prop::collection::vec((0..USERS, content()), 0..40)
}

proptest! {
    #[test]
    fn a_group_with_members_has_an_owner_and_is_never_too_large(attempts in attempts()) {
        let (_, groups) = play(attempts);
        for group in &groups[1..] {
            let members = group.members().count();
            prop_assert!(members <= MAX_MEMBERS);
            let owners = group.members().filter(|(_, it)| it.role() == Role::Owner);
            prop_assert!(members == 0 || owners.count() > 0, "{group:?}");
        }
    }

    #[test]
    fn every_permitted_entry_changes_the_group(attempts in attempts()) {
        let (_, groups) = play(attempts);
        for pair in groups.windows(2) {
            prop_assert_ne!(&pair[0], &pair[1]);
        }
    }

    /// The group may have changed since, as when an entry is sent again or delivered late.
    #[test]
    fn an_entry_goes_to_the_members_of_its_time_and_to_whom_it_removes_but_to_none_who_joined_again(
        attempts in attempts(), at: prop::sample::Index, later: prop::sample::Index,
    ) {
        let (entries, groups) = play(attempts);
        let at = at.index(entries.len());
        let (entry, before, after) = (&entries[at], &groups[at], &groups[at + 1]);
        let is_removed = |user: &UserId| before.has(user) && entry.users.contains(user);
        let expected: Vec<UserId> = (0..USERS).map(user)
            .filter(|user| after.has(user) || is_removed(user))
            .collect();
        prop_assert_eq!(after.recipients(entry.seq).cloned().collect::<Vec<_>>(), expected.clone());

        let later = &groups[at + 1 + later.index(groups.len() - at - 1)];
        let has_rejoined = |user: &UserId| later.membership(user).joined_seq > entry.seq;
        let expected: Vec<UserId> = expected.into_iter().filter(|user| !has_rejoined(user)).collect();
        prop_assert_eq!(later.recipients(entry.seq).cloned().collect::<Vec<_>>(), expected);
    }

    /// A projection may be ahead of the entries that are applied to it.
    #[test]
    fn entries_that_are_applied_again_change_nothing(attempts in attempts(), from: prop::sample::Index) {
        let (entries, groups) = play(attempts);
        let newest = groups.last().expect("one");
        let mut again = newest.clone();
        for entry in &entries[from.index(entries.len())..] {
            again.apply(entry);
        }
        prop_assert_eq!(&again, newest);
    }

    /// A process that was killed has written some of the documents of the projection.
    #[test]
    fn a_projection_of_any_age_of_each_document_becomes_the_group_by_the_entries_behind_it(
        attempts in attempts(),
        complete: prop::sample::Index,
        ages in prop::collection::vec(any::<prop::sample::Index>(), USERS as usize),
    ) {
        let (entries, groups) = play(attempts);
        let complete = complete.index(groups.len());
        let ages = ages.iter().map(|age| complete + age.index(groups.len() - complete));
        let group = rebuild(&entries, &groups, complete, ages);
        let newest = groups.last().expect("one");
        prop_assert_eq!(state(&group), state(newest));
        prop_assert_eq!(title_of(&group), title_of(newest));
    }
}

/// Returns the group that a process makes of a projection which is complete up to some entry, and of the entries
/// behind it. `ages` are the entries after which the users' documents were written.
fn rebuild(
    entries: &[Entry],
    groups: &[Group],
    complete: usize,
    ages: impl IntoIterator<Item = usize>,
) -> Group {
    let rows = (0..).zip(ages);
    let rows = rows.map(|(number, age)| (user(number), groups[age].membership(&user(number))));
    let mut group = Group::new(title_of(&groups[complete]), History::default(), rows);
    for entry in &entries[complete..] {
        group.apply(entry);
    }
    group
}

fn title_of(group: &Group) -> Option<(Title, i64)> {
    let title = group.title.clone();
    title.map(|title| (title, group.title_seq))
}

fn state(group: &Group) -> Vec<(UserId, i64, Role)> {
    let members = group.members();
    members
        .map(|(user, it)| (user.clone(), it.joined_seq, it.role()))
        .collect()
}

/// The projection has the next owner's own departure already: nobody else may become one in the place.
#[test]
fn an_owner_who_has_left_since_hands_over_to_nobody_else() {
    let join = |number| Content::Join {
        users: vec![user(number)],
    };
    let role = Content::SetRole {
        user: user(3),
        role: Role::Owner,
    };
    let (entries, groups) = play(vec![
        (0, join(2)),
        (0, join(3)),
        (0, leave(user(0))),
        (1, role),
        (1, leave(user(1))),
    ]);
    assert_eq!(entries.len(), 6);
    let group = rebuild(&entries, &groups, 3, [3, 6, 3, 3]);
    assert_eq!(group.membership(&user(2)).role(), Role::Member);
    assert_eq!(state(&group), state(groups.last().expect("one")));
}

#[test]
fn the_last_owner_who_leaves_hands_over_to_the_longest_member() {
    let join = |number| Content::Join {
        users: vec![user(number)],
    };
    let (entries, groups) = play(vec![
        (0, join(2)),
        (0, leave(user(1))),
        (0, join(1)),
        (0, leave(user(0))),
    ]);
    assert_eq!(entries.len(), 5);
    let group = groups.last().expect("one");
    assert_eq!(group.membership(&user(2)).role(), Role::Owner);
    assert_eq!(group.membership(&user(1)).role(), Role::Member);
}

#[test]
fn who_rejoins_is_a_member_and_reads_from_there_on() {
    let (_, groups) = play(vec![
        (
            0,
            Content::SetRole {
                user: user(1),
                role: Role::Owner,
            },
        ),
        (0, leave(user(1))),
        (
            0,
            Content::Join {
                users: vec![user(1)],
            },
        ),
    ]);
    let read = |group: &Group| group.readable(&user(1));
    assert_eq!(read(&groups[1]), Some((1, i64::MAX)));
    assert_eq!(read(&groups[3]), Some((1, 3)));
    assert_eq!(read(&groups[4]), Some((4, i64::MAX)));
    assert_eq!(groups[4].membership(&user(1)).role(), Role::Member);
    assert_eq!(groups[4].readable(&user(2)), None);
}
