//! What is remembered of clients.

use std::thread;

use portcullis_velocity::{
    ClientContext, Content, Contexts, Cookie, Key, KeyHasher, Millis, Purpose, RequestNote, Secret, SetCookie,
};
use proptest::prelude::*;

const SEGMENT_MS: u64 = 150_000;
const MEMORY_MS: u64 = 900_000;

fn client(number: u64) -> Key {
    KeyHasher::new(Secret([0x5e; 16])).key(1, &[&number.to_be_bytes()])
}

/// A request that came and was answered at once.
fn note(purpose: Purpose, cookie: Cookie, set_cookie: SetCookie, content: Content, now: u64) -> RequestNote {
    RequestNote { arrived: Millis(now), purpose, cookie, set_cookie, content }
}

fn page(now: u64) -> RequestNote {
    note(Purpose::Navigation, Cookie::Absent, SetCookie::Absent, Content::Page, now)
}

#[test]
fn requests_without_a_cookie_count_once_one_was_set_and_until_one_comes_back() {
    use {Cookie::Carried, SetCookie::Sent};
    let contexts = Contexts::new(0);
    let rows = [
        ("no answer has set a cookie", Cookie::Absent, SetCookie::Absent, 0),
        ("the answer sets the first", Cookie::Absent, Sent, 0),
        ("none comes back", Cookie::Absent, SetCookie::Absent, 1),
        ("none comes back, another is set", Cookie::Absent, Sent, 2),
        ("one comes back", Carried, SetCookie::Absent, 0),
        ("none again", Cookie::Absent, SetCookie::Absent, 0),
        ("none again, another is set", Cookie::Absent, Sent, 0),
        ("none again", Cookie::Absent, SetCookie::Absent, 0),
    ];
    for (now, (what, cookie, set_cookie, cookieless)) in (0..).zip(rows) {
        let note = note(Purpose::Other, cookie, set_cookie, Content::Other, now);
        contexts.note_request(client(1), note, Millis(now));
        assert_eq!(contexts.read(client(1), Millis(now)).cookieless, cookieless, "{what}");
    }
    assert_eq!(contexts.read(client(1), Millis(8)).other_requests, 8);
}

#[test]
fn a_request_under_way_when_the_first_cookie_was_set_is_not_held_against_anyone() {
    let contexts = Contexts::new(0);
    let first = note(Purpose::Navigation, Cookie::Absent, SetCookie::Sent, Content::Page, 1_000);
    contexts.note_request(client(1), first, Millis(1_500));
    for (arrived, cookieless) in [(1_001, 0), (1_499, 0), (1_500, 1), (1_501, 2)] {
        let late = note(Purpose::Other, Cookie::Absent, SetCookie::Sent, Content::Other, arrived);
        contexts.note_request(client(1), late, Millis(2_000));
        assert_eq!(contexts.read(client(1), Millis(2_000)).cookieless, cookieless, "arrived at {arrived}");
    }
}

#[test]
fn only_navigations_answered_with_a_page_are_pages_and_only_they_are_not_other_requests() {
    for (purpose, content, pages, other_requests) in [
        (Purpose::Navigation, Content::Page, 1, 0),
        (Purpose::Navigation, Content::Other, 0, 0),
        (Purpose::Other, Content::Page, 0, 1),
        (Purpose::Other, Content::Other, 0, 1),
    ] {
        let contexts = Contexts::new(0);
        contexts.note_request(client(1), note(purpose, Cookie::Absent, SetCookie::Absent, content, 0), Millis(0));
        let expected = ClientContext { pages, other_requests, ..ClientContext::default() };
        assert_eq!(contexts.read(client(1), Millis(0)), expected, "{purpose:?} {content:?}");
        assert_eq!(contexts.stats().occupied, u64::from(pages + other_requests), "{purpose:?} {content:?}");
    }
}

#[test]
fn hellos_and_their_orders_are_counted_apart() {
    let contexts = Contexts::new(0);
    for (order, hellos, hello_orders) in [(5, 1, 1), (5, 2, 1), (0, 3, 2), (5, 4, 2), (u64::MAX, 5, 3)] {
        contexts.note_hello(client(1), order, Millis(0));
        let expected = ClientContext { hellos, hello_orders, ..ClientContext::default() };
        assert_eq!(contexts.read(client(1), Millis(0)), expected);
    }
    for order in 100..400 {
        contexts.note_hello(client(1), order, Millis(0));
    }
    let context = contexts.read(client(1), Millis(0));
    assert_eq!((context.hellos, context.hello_orders), (255, 6), "both stop at their end");
}

#[test]
fn clients_are_kept_apart_and_a_stranger_has_no_past() {
    let contexts = Contexts::new(1 << 20);
    contexts.note_request(client(1), page(0), Millis(0));
    contexts.note_hello(client(2), 1, Millis(0));
    assert_eq!(contexts.read(client(1), Millis(0)), ClientContext { pages: 1, ..ClientContext::default() });
    let hello = ClientContext { hellos: 1, hello_orders: 1, ..ClientContext::default() };
    assert_eq!(contexts.read(client(2), Millis(0)), hello);
    assert_eq!(contexts.read(client(3), Millis(0)), ClientContext::default());
    assert_eq!(contexts.stats().occupied, 2, "reading takes no slot");
}

#[test]
fn everything_is_forgotten_after_fifteen_minutes() {
    let contexts = Contexts::new(0);
    let start = 10 * MEMORY_MS + SEGMENT_MS / 3;
    let sets = note(Purpose::Other, Cookie::Absent, SetCookie::Sent, Content::Other, start);
    for note in [sets, sets, page(start)] {
        contexts.note_request(client(1), note, Millis(start));
    }
    contexts.note_hello(client(1), 1, Millis(start));
    let all = ClientContext { cookieless: 2, pages: 1, other_requests: 2, hellos: 1, hello_orders: 1 };
    for (after, expected) in [
        (0, all),
        (MEMORY_MS - SEGMENT_MS, all),
        (MEMORY_MS, ClientContext::default()),
        (u64::MAX - start, ClientContext::default()),
        (0, all),
    ] {
        assert_eq!(contexts.read(client(1), Millis(start + after)), expected, "after {after} ms");
    }
}

#[test]
fn a_clock_that_steps_back_neither_forgets_nor_grows_what_is_counted() {
    let contexts = Contexts::new(0);
    let sets = note(Purpose::Navigation, Cookie::Absent, SetCookie::Sent, Content::Page, MEMORY_MS * 9);
    contexts.note_request(client(1), sets, Millis(MEMORY_MS * 9));
    for now in [MEMORY_MS * 9 - 1, MEMORY_MS, 0] {
        assert_eq!(contexts.read(client(1), Millis(now)).pages, 1, "at {now}");
    }
    contexts.note_request(client(1), page(0), Millis(0));
    let context = contexts.read(client(1), Millis(0));
    assert_eq!((context.pages, context.cookieless), (2, 0), "what came before the cookie is not without it");
    assert_eq!(contexts.read(client(1), Millis(MEMORY_MS * 10)).pages, 0);
}

#[test]
fn a_flood_of_new_clients_stays_in_the_budget_and_displaces_such_as_did_little() {
    const FLOOD: u64 = 500_000;
    let contexts = Contexts::new(2 << 20);
    let before = contexts.stats();
    assert!(before.capacity * 64 <= before.budget_bytes && before.capacity * 64 > before.budget_bytes * 95 / 100);
    // Two hundred that read pages and nothing else.
    for number in 0..200 {
        for _ in 0..4 {
            contexts.note_request(client(number), page(0), Millis(0));
        }
    }
    for number in 0..FLOOD {
        let now = number * 600_000 / FLOOD;
        let stranger = client(1_000_000 + number);
        contexts.note_request(stranger, page(now), Millis(now));
        assert_eq!(contexts.read(stranger, Millis(now)).pages, 1, "stranger {number}");
    }
    for number in 0..200 {
        assert_eq!(contexts.read(client(number), Millis(600_000)).pages, 4, "reader {number}");
    }
    let stats = contexts.stats();
    assert_eq!((stats.capacity, stats.budget_bytes), (before.capacity, 2 << 20));
    assert!(stats.occupied <= stats.capacity && stats.evictions_total > FLOOD / 2, "{stats:?}");
}

#[test]
fn who_is_forgotten_gives_way_before_anyone_of_whom_something_is_remembered() {
    let contexts = Contexts::new(64 << 10);
    let capacity = contexts.stats().capacity;
    for number in 0..10 * capacity {
        contexts.note_hello(client(number), 0, Millis(0));
    }
    let (occupied, lost) = (contexts.stats().occupied, contexts.stats().evictions_total);
    for number in 0..capacity / 2 {
        contexts.note_hello(client(1_000_000 + number), 0, Millis(MEMORY_MS));
    }
    let stats = contexts.stats();
    assert_eq!(stats.occupied, occupied);
    assert!(stats.evictions_total - lost <= capacity / 100, "{lost} and then {stats:?}");
}

#[test]
fn the_smallest_and_oddest_budgets_work() {
    for budget in [0, 1, 16 << 10, 100_000, (1 << 20) + 7] {
        let contexts = Contexts::new(budget);
        for number in 0..2_000 {
            contexts.note_hello(client(number), number, Millis(0));
            assert_eq!(contexts.read(client(number), Millis(0)).hellos, 1);
        }
        let stats = contexts.stats();
        assert!(stats.occupied <= stats.capacity && stats.capacity * 64 <= stats.budget_bytes, "{budget}: {stats:?}");
    }
    let contexts = Contexts::new(Contexts::budget_for(10_000));
    for number in 0..10_000 {
        contexts.note_hello(client(number), 0, Millis(0));
    }
    assert!(contexts.stats().evictions_total <= 5, "{:?}", contexts.stats());
}

#[test]
fn notes_from_two_threads_add_up() {
    let contexts = Contexts::new(1 << 20);
    thread::scope(|scope| {
        for thread in 0..2 {
            let contexts = &contexts;
            scope.spawn(move || {
                for turn in 0..100_000_u64 {
                    let now = Millis(turn / 1_000);
                    contexts.note_request(client(turn % 1_000), page(now.0), now);
                    if turn < 1_000 {
                        contexts.note_hello(client(turn), thread, now);
                    }
                }
            });
        }
    });
    let expected = ClientContext { pages: 200, hellos: 2, hello_orders: 2, ..ClientContext::default() };
    for number in 0..1_000 {
        assert_eq!(contexts.read(client(number), Millis(100)), expected, "client {number}");
    }
    assert_eq!(contexts.stats().occupied, 1_000);
}

/// The memory of one client, as its documentation has it: everything that happened, looked through anew each time.
#[derive(Default)]
struct Model {
    events: Vec<(u64, Event)>,
    first_set: Option<u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Event {
    Page,
    OtherRequest,
    Cookieless,
    CookieCarried,
    CookieSet,
    Hello(u64),
}

impl Model {
    fn count(&self, now: u64, of: impl Fn(Event) -> bool) -> usize {
        let remembered = |then: u64| now / SEGMENT_MS < then / SEGMENT_MS + MEMORY_MS / SEGMENT_MS;
        self.events.iter().filter(|(then, event)| remembered(*then) && of(*event)).count()
    }

    fn note_request(&mut self, note: RequestNote, now: u64) {
        if self.count(now, |event| event == Event::CookieSet) == 0 {
            self.first_set = None;
        }
        match (note.purpose, note.content) {
            (Purpose::Navigation, Content::Page) => self.events.push((now, Event::Page)),
            (Purpose::Navigation, Content::Other) => {}
            (Purpose::Other, _) => self.events.push((now, Event::OtherRequest)),
        }
        let after_a_cookie = self.first_set.is_some_and(|first| first <= note.arrived.0);
        if note.cookie == Cookie::Carried {
            self.events.retain(|(_, event)| *event != Event::Cookieless);
            self.events.push((now, Event::CookieCarried));
        } else if after_a_cookie && self.count(now, |event| event == Event::CookieCarried) == 0 {
            self.events.push((now, Event::Cookieless));
        }
        if note.set_cookie == SetCookie::Sent {
            self.first_set.get_or_insert(now);
            self.events.push((now, Event::CookieSet));
        }
    }

    fn context(&self, now: u64) -> ClientContext {
        let count = |of: Event| u8::try_from(self.count(now, |event| event == of)).unwrap_or(u8::MAX);
        let orders = (0..8).filter(|order| count(Event::Hello(*order)) > 0).count();
        ClientContext {
            cookieless: count(Event::Cookieless),
            pages: count(Event::Page),
            other_requests: count(Event::OtherRequest),
            hellos: u8::try_from(self.count(now, |event| matches!(event, Event::Hello(_)))).unwrap_or(u8::MAX),
            hello_orders: orders.min(6) as u8,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Request { note: RequestNote, took_ms: u64 },
    Hello(u64),
    Requests(RequestNote),
}

fn any_note() -> impl Strategy<Value = RequestNote> {
    let purpose = prop_oneof![Just(Purpose::Navigation), Just(Purpose::Other)];
    let cookie = prop_oneof![8 => Just(Cookie::Absent), 1 => Just(Cookie::Carried)];
    let set_cookie = prop_oneof![3 => Just(SetCookie::Absent), 1 => Just(SetCookie::Sent)];
    let content = prop_oneof![Just(Content::Page), Just(Content::Other)];
    (purpose, cookie, set_cookie, content).prop_map(|(purpose, cookie, set_cookie, content)| RequestNote {
        arrived: Millis(0),
        purpose,
        cookie,
        set_cookie,
        content,
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any_note(), 0_u64..60_000).prop_map(|(note, took_ms)| Step::Request { note, took_ms }),
        6 => (0_u64..8).prop_map(Step::Hello),
        1 => any_note().prop_map(Step::Requests),
    ]
}

proptest! {
    #[test]
    fn what_is_remembered_is_what_the_model_remembers(
        start in prop_oneof![Just(0_u64), 1_790_000_000_000_u64..1_790_000_900_000],
        steps in prop::collection::vec((any_step(), 0_u64..5, 0_u64..100_000), 1..120),
    ) {
        let contexts = Contexts::new(0);
        let mut model = Model::default();
        let mut now = start;
        for (step, gap, part) in steps {
            // Most steps follow closely, one in five after up to three segments.
            now += if gap == 0 { part * 4 } else { part / 100 };
            match step {
                Step::Request { mut note, took_ms } => {
                    note.arrived = Millis(now.saturating_sub(took_ms));
                    contexts.note_request(client(1), note, Millis(now));
                    model.note_request(note, now);
                }
                Step::Requests(mut note) => {
                    note.arrived = Millis(now);
                    for _ in 0..150 {
                        contexts.note_request(client(1), note, Millis(now));
                        model.note_request(note, now);
                    }
                }
                Step::Hello(order) => {
                    contexts.note_hello(client(1), order, Millis(now));
                    model.events.push((now, Event::Hello(order)));
                }
            }
            for later in [0, SEGMENT_MS / 2, SEGMENT_MS * 2, MEMORY_MS - 1, MEMORY_MS] {
                let read = contexts.read(client(1), Millis(now + later));
                prop_assert_eq!(read, model.context(now + later), "{} ms later", later);
            }
        }
    }

    #[test]
    fn a_count_is_between_those_of_twelve_and_a_half_and_of_fifteen_minutes(
        gaps in prop::collection::vec(0_u64..300_000, 1..100),
    ) {
        let contexts = Contexts::new(0);
        let mut times = Vec::new();
        let mut now = 0;
        for gap in gaps {
            now += gap;
            times.push(now);
            contexts.note_request(client(1), page(now), Millis(now));
            let within = |ms: u64| times.iter().filter(|then| now - **then < ms).count();
            let pages = usize::from(contexts.read(client(1), Millis(now)).pages);
            prop_assert!(within(MEMORY_MS - SEGMENT_MS) <= pages && pages <= within(MEMORY_MS));
        }
    }

    #[test]
    fn any_times_are_taken_and_no_count_exceeds_what_was_noted(
        steps in prop::collection::vec((any_step(), any::<u64>(), any::<u64>()), 1..100),
    ) {
        let contexts = Contexts::new(0);
        let (mut requests, mut hellos) = (0, 0);
        for (step, now, arrived) in steps {
            match step {
                Step::Hello(order) => {
                    hellos += 1;
                    contexts.note_hello(client(1), order, Millis(now));
                }
                Step::Request { mut note, .. } | Step::Requests(mut note) => {
                    requests += 1;
                    note.arrived = Millis(arrived);
                    contexts.note_request(client(1), note, Millis(now));
                }
            }
            let context = contexts.read(client(1), Millis(arrived));
            prop_assert!(context.pages + context.other_requests <= requests && context.cookieless < requests.max(1));
            prop_assert!(context.hello_orders <= context.hellos && context.hellos <= hellos);
        }
    }
}
