//! What was measured: rows of a name, and for each system one value per round.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// One thing that was measured, of one or more systems.
pub(crate) struct Row {
    section: &'static str,
    name: String,
    unit: &'static str,
    values: BTreeMap<&'static str, Vec<f64>>,
}

/// Everything that was measured, in the order in which it first was.
#[derive(Default)]
pub(crate) struct Rows(Vec<Row>);

/// The middle of some values, and their ends.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    /// The middle one; between two, their mean.
    pub(crate) median: f64,
    /// The smallest.
    pub(crate) min: f64,
    /// The largest.
    pub(crate) max: f64,
}

impl Rows {
    /// Adds one value of a system, after those of earlier rounds.
    pub(crate) fn add(
        &mut self,
        section: &'static str,
        name: &str,
        unit: &'static str,
        system: &'static str,
        value: f64,
    ) {
        let same = |row: &&mut Row| row.section == section && row.name == name;
        let row = match self.0.iter_mut().find(same) {
            Some(row) => row,
            None => {
                let values = BTreeMap::new();
                self.0.push(Row { section, name: name.to_owned(), unit, values });
                self.0.last_mut().expect("it was pushed")
            }
        };
        row.values.entry(system).or_default().push(value);
    }

    /// Each row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.0.iter()
    }
}

impl Row {
    /// What it belongs to.
    pub(crate) fn section(&self) -> &'static str {
        self.section
    }

    /// Its name with its unit.
    pub(crate) fn title(&self) -> String {
        match self.unit {
            "" => self.name.clone(),
            unit => format!("{}, {unit}", self.name),
        }
    }

    /// What this system's values amount to.
    pub(crate) fn spread(&self, system: &str) -> Option<Spread> {
        Spread::of(self.values.get(system)?.clone())
    }

    /// The ratio of two systems: in each round, then what that amounts to.
    pub(crate) fn ratio(&self, system: &str, to: &str) -> Option<Spread> {
        let pairs = self.values.get(system)?.iter().zip(self.values.get(to)?);
        Spread::of(pairs.map(|(own, other)| own / other).filter(|r| r.is_finite()).collect())
    }

    /// All of it.
    pub(crate) fn json(&self) -> Value {
        let systems = self.values.iter().filter_map(|(name, values)| {
            let spread = self.spread(name)?.json();
            Some(((*name).to_owned(), json!({ "rounds": values, "spread": spread })))
        });
        let others = self.values.keys().filter(|name| **name != "ours");
        let ratios =
            others.filter_map(|name| Some(((*name).to_owned(), self.ratio("ours", name)?.json())));
        json!({
            "section": self.section, "name": self.name, "unit": self.unit,
            "systems": systems.collect::<Map<_, _>>(),
            "ours_to": ratios.collect::<Map<_, _>>(),
        })
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Spread> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Some(Spread { median: middle, min, max })
    }

    fn json(self) -> Value {
        json!({ "median": self.median, "min": self.min, "max": self.max })
    }
}
