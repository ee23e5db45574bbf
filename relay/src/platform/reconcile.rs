//! Decides what an agent needs on the platform, from what the relay has of it and what the platform
//! thinks. Pure: every pair of states has its cell in the table of the tests.

use super::answer::{CallError, Row};

/// How far a workspace has come here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was begun.
    Unbound,
    /// Its counterpart was about to be made.
    Begun(Making),
    /// The counterpart and its token are known; it was never registered.
    Made,
    /// It was registered.
    Registered,
    /// The counterpart is known, its token is not.
    TokenLost,
    /// The platform refuses the token; whether it ever took it.
    TokenRefused {
        /// It was registered with it, or one before it.
        worked: bool,
    },
    /// The workspace was removed here, and its counterpart is the relay's to delete.
    Leaving {
        /// Whether the counterpart's id is known.
        known: bool,
    },
    /// It is over.
    Gone,
}

/// Whether a counterpart may be there whose id nobody has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Making {
    /// Surely not: nothing was sent, or what was sent is not there by now.
    Unsent,
    /// Perhaps: it has to be looked for.
    Perhaps,
}

/// What the relay has of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ours {
    /// How far it has come.
    pub stage: Stage,
    /// Whether its agent is there and takes calls: its link is up, and nobody paused it here.
    pub here: bool,
    /// Whether its calls are held back because the platform paused it.
    pub held: bool,
    /// Whether the platform may have missed it since it was last registered.
    pub lapsed: bool,
    /// Whether it has another card than the registered one.
    pub new_card: bool,
}

/// Where the platform calls an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// At the relay's URL for it.
    Ours,
    /// Nowhere.
    Nowhere,
    /// At a URL that the relay did not register.
    Elsewhere,
}

/// What the platform thinks of a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It waits for its first registration.
    Provisioning,
    /// It is there.
    Online,
    /// It is there and not well.
    Degraded,
    /// Its heartbeats are missing.
    Offline,
    /// The platform's operator holds its calls back.
    Paused,
    /// It is given up until it registers.
    Failed,
    /// It sleeps until it registers.
    Hibernated,
    /// A word that is not known here.
    Other,
}

/// What is known of the platform's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theirs {
    /// Nobody has looked.
    Unknown,
    /// It has this row.
    Row(Standing, Place),
    /// It is deleted there, or purged.
    Missing,
    /// Nobody can look: the platform does not answer.
    Unreachable,
    /// Its last answer was that the credential is not good.
    Unauthorized,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Make the counterpart.
    Create,
    /// Look for a counterpart with the workspace's mark.
    Search,
    /// Make another token.
    Mint,
    /// Read the row.
    Look,
    /// Tell the platform where the agent is.
    Register,
    /// Keep sending heartbeats.
    Beat,
    /// Send the new card.
    UpdateCard,
    /// Hold the agent's calls back.
    Hold,
    /// Let the agent's calls through again.
    Release,
    /// Delete the counterpart.
    Delete,
    /// Note that it is over: cut the link, forget the token, never register again.
    Bury,
}

impl Standing {
    /// Reads the platform's word.
    pub fn of(word: &str) -> Self {
        match word {
            // The one is what a creation answers, the other what the row says of it.
            "provisioning" | "awaiting_agent" => Self::Provisioning,
            "online" => Self::Online,
            "degraded" => Self::Degraded,
            "offline" => Self::Offline,
            "paused" => Self::Paused,
            "failed" => Self::Failed,
            "hibernated" => Self::Hibernated,
            _ => Self::Other,
        }
    }
}

impl Theirs {
    /// What a row says to whoever registered `url`.
    pub fn of(row: &Row, url: &str) -> Self {
        let place = match row.url.as_str() {
            "" => Place::Nowhere,
            // Some platforms put a slash behind whatever they are given.
            other if other.trim_end_matches('/') == url => Place::Ours,
            _ => Place::Elsewhere,
        };
        match row.status.as_str() {
            "removed" => Self::Missing,
            word => Self::Row(Standing::of(word), place),
        }
    }

    /// What a look that failed says, if it says anything.
    pub const fn of_error(error: &CallError) -> Option<Self> {
        match error {
            CallError::NotFound | CallError::Gone => Some(Self::Missing),
            CallError::Unreachable(_) | CallError::NoAnswer(_) | CallError::Trouble(_) => {
                Some(Self::Unreachable)
            }
            CallError::Unauthorized(_) => Some(Self::Unauthorized),
            _ => None,
        }
    }
}

/// What a workspace needs. `fresh` is whether its own row was read just now: nothing is registered
/// on older news, since a registration lifts a pause.
pub fn next(ours: Ours, theirs: Theirs, fresh: bool) -> Vec<Next> {
    use Next::{Bury, Create, Delete, Hold, Look, Mint, Release, Search};
    if theirs == Theirs::Unreachable && ours.stage != Stage::Gone {
        return Vec::new();
    }
    match ours.stage {
        Stage::Gone => Vec::new(),
        Stage::Unbound | Stage::Begun(Making::Unsent) => vec![Create],
        Stage::Begun(Making::Perhaps) => vec![Search],
        Stage::Leaving { known: false } => vec![Search],
        Stage::Leaving { known: true } if theirs == Theirs::Missing => vec![Bury],
        Stage::Leaving { known: true } => vec![Delete],
        _ if theirs == Theirs::Missing => vec![Bury],
        // Whoever revoked a token that worked may have meant it; one that never did was lost.
        Stage::TokenLost | Stage::TokenRefused { worked: false } => match theirs {
            Theirs::Unknown | Theirs::Unauthorized => vec![Look],
            _ => vec![Mint],
        },
        Stage::TokenRefused { worked: true } => match theirs {
            Theirs::Unknown | Theirs::Unauthorized => vec![Look],
            Theirs::Row(Standing::Paused, _) if !ours.held => vec![Hold],
            _ => Vec::new(),
        },
        Stage::Made | Stage::Registered => match theirs {
            Theirs::Row(Standing::Paused, _) if ours.held => Vec::new(),
            Theirs::Row(Standing::Paused, _) => vec![Hold],
            Theirs::Row(standing, place) => {
                let mut next = if ours.held { vec![Release] } else { Vec::new() };
                next.extend(present(ours, standing, place, fresh));
                next
            }
            Theirs::Unknown | Theirs::Unauthorized => unseen(ours),
            Theirs::Missing | Theirs::Unreachable => Vec::new(),
        },
    }
}

/// What an agent needs of whose row nothing is known.
fn unseen(ours: Ours) -> Vec<Next> {
    let beats = ours.stage == Stage::Registered && ours.here && !ours.held && !ours.lapsed;
    if beats { vec![Next::Beat, Next::Look] } else { vec![Next::Look] }
}

/// What an agent needs whose row is there and not paused.
fn present(ours: Ours, standing: Standing, place: Place, fresh: bool) -> Vec<Next> {
    let register = if fresh { Next::Register } else { Next::Look };
    if ours.stage == Stage::Made {
        // Promptly, whether or not the agent is there: the platform gives up who waits too long.
        return vec![register];
    }
    if !ours.here {
        return Vec::new();
    }
    let alive = match standing {
        // Only a registration leads out of these.
        Standing::Provisioning | Standing::Offline | Standing::Failed | Standing::Paused => false,
        // An agent that was away comes back; one that was here all the time is left to sleep.
        Standing::Hibernated => !ours.lapsed,
        Standing::Online | Standing::Degraded | Standing::Other => true,
    };
    match (alive, place) {
        (false, _) => vec![register],
        (true, Place::Nowhere | Place::Elsewhere) => vec![Next::Beat, register],
        // Without it the platform may never again see that the agent is gone.
        (true, Place::Ours) if ours.lapsed => vec![Next::Beat, register],
        (true, Place::Ours) if ours.new_card => vec![Next::Beat, Next::UpdateCard],
        (true, Place::Ours) => vec![Next::Beat],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://relay.example.com/molecule/a_x";

    fn ours(stage: Stage) -> Ours {
        Ours { stage, here: true, held: false, lapsed: false, new_card: false }
    }

    /// The states here, by the head of their column.
    fn states() -> [(&'static str, Ours); 15] {
        let registered = ours(Stage::Registered);
        let down = |stage| Ours { here: false, ..ours(stage) };
        [
            ("none", ours(Stage::Unbound)),
            ("unsent", ours(Stage::Begun(Making::Unsent))),
            ("perhaps", ours(Stage::Begun(Making::Perhaps))),
            ("made", ours(Stage::Made)),
            ("made,down", down(Stage::Made)),
            ("up", registered),
            ("lapsed", Ours { lapsed: true, ..registered }),
            ("new-card", Ours { new_card: true, ..registered }),
            // The link is down, or the operator paused it here.
            ("down", down(Stage::Registered)),
            ("held", Ours { held: true, lapsed: true, ..registered }),
            ("lost", ours(Stage::TokenLost)),
            ("refused", ours(Stage::TokenRefused { worked: true })),
            ("untaken", ours(Stage::TokenRefused { worked: false })),
            ("leaving", ours(Stage::Leaving { known: true })),
            ("gone", ours(Stage::Gone)),
        ]
    }

    fn row(status: &str, url: &str) -> Theirs {
        Theirs::of(&Row { status: status.into(), url: url.into(), ..Row::default() }, URL)
    }

    /// One letter for each thing to do.
    fn letters(next: &[Next]) -> String {
        let letter = |next: &Next| match next {
            Next::Create => 'C',
            Next::Search => 'S',
            Next::Mint => 'M',
            Next::Look => 'L',
            Next::Register => 'R',
            Next::Beat => 'b',
            Next::UpdateCard => 'c',
            Next::Hold => 'H',
            Next::Release => 'r',
            Next::Delete => 'D',
            Next::Bury => 'B',
        };
        if next.is_empty() { "-".into() } else { next.iter().map(letter).collect() }
    }

    /// C create, S search, M mint, L look, R register (on a row that was read just now), b heartbeats,
    /// c card, H hold, r release, D delete, B bury, - nothing.
    const TABLE: &str = "
        there           none unsent perhaps made made,down up lapsed new-card down held lost refused untaken leaving gone
        unknown         C    C      S       L    L         bL L      bL       L    L    L    L       L       D       -
        provisioning    C    C      S       R    R         R  R      R        -    rR   M    -       M       D       -
        awaiting_agent  C    C      S       R    R         R  R      R        -    rR   M    -       M       D       -
        online          C    C      S       R    R         b  bR     bc       -    rbR  M    -       M       D       -
        degraded        C    C      S       R    R         b  bR     bc       -    rbR  M    -       M       D       -
        offline         C    C      S       R    R         R  R      R        -    rR   M    -       M       D       -
        paused          C    C      S       H    H         H  H      H        H    -    M    H       M       D       -
        failed          C    C      S       R    R         R  R      R        -    rR   M    -       M       D       -
        hibernated      C    C      S       R    R         b  R      bc       -    rR   M    -       M       D       -
        dreaming        C    C      S       R    R         b  bR     bc       -    rbR  M    -       M       D       -
        foreign-url     C    C      S       R    R         bR bR     bR       -    rbR  M    -       M       D       -
        no-url          C    C      S       R    R         bR bR     bR       -    rbR  M    -       M       D       -
        removed         C    C      S       B    B         B  B      B        B    B    B    B       B       B       -
        404             C    C      S       B    B         B  B      B        B    B    B    B       B       B       -
        410             C    C      S       B    B         B  B      B        B    B    B    B       B       B       -
        unreachable     -    -      -       -    -         -  -      -        -    -    -    -       -       -       -
        401             C    C      S       L    L         bL L      bL       L    L    L    L       L       D       -
    ";

    /// The platform's side, by the head of its line.
    fn there(line: &str) -> Theirs {
        let error = |error| Theirs::of_error(&error).expect("it says something");
        match line {
            "unknown" => Theirs::Unknown,
            "unreachable" => error(CallError::Unreachable(String::new())),
            "404" => error(CallError::NotFound),
            "410" => error(CallError::Gone),
            "401" => error(CallError::Unauthorized(401)),
            "foreign-url" => row("online", "https://other.example.com"),
            "no-url" => row("online", ""),
            "provisioning" | "awaiting_agent" | "paused" | "removed" => row(line, ""),
            word => row(word, URL),
        }
    }

    #[test]
    fn every_pair_of_states_has_its_next_steps() {
        let mut lines = TABLE.lines().map(str::trim).filter(|line| !line.is_empty());
        let columns: Vec<_> = lines.next().unwrap().split_whitespace().skip(1).collect();
        assert_eq!(columns, states().map(|(column, _)| column));
        for line in lines {
            let mut cells = line.split_whitespace();
            let name = cells.next().unwrap();
            let theirs = there(name);
            for ((column, ours), cell) in states().iter().zip(cells.by_ref()) {
                let fresh = letters(&next(*ours, theirs, true));
                assert_eq!(fresh, cell, "{column} here, {name} there");
                let stale = letters(&next(*ours, theirs, false));
                let looks_first = cell.replace('R', "L");
                assert_eq!(stale, looks_first, "{column} here, {name} there, on old news");
            }
            assert_eq!(line.split_whitespace().count(), columns.len() + 1, "{name}");
        }
    }

    #[test]
    fn an_unknown_counterpart_is_looked_for_before_it_is_let_go() {
        let leaving = ours(Stage::Leaving { known: false });
        assert_eq!(next(leaving, Theirs::Unknown, false), [Next::Search]);
    }

    #[test]
    fn answers_that_are_no_rows_say_what_they_say() {
        use CallError::{Gone, NoAnswer, NotFound, OrgMissing, Strange, Trouble, Unauthorized};
        for (error, theirs) in [
            (NotFound, Some(Theirs::Missing)),
            (Gone, Some(Theirs::Missing)),
            (Trouble(503), Some(Theirs::Unreachable)),
            (NoAnswer(String::new()), Some(Theirs::Unreachable)),
            (Unauthorized(401), Some(Theirs::Unauthorized)),
            // Neither a page nor a missing organisation says that a workspace is deleted.
            (OrgMissing, None),
            (Strange(404, ""), None),
        ] {
            assert_eq!(Theirs::of_error(&error), theirs, "{error:?}");
        }
        assert_eq!(row("online", &format!("{URL}/")), row("online", URL));
    }
}
