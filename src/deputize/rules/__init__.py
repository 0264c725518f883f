"""Rules: the forms that people write, compiled to Cedar, and the set that judges with them."""

from deputize.rules.ruleset import CedarRules, load_rules, rules_from_text

__all__ = ["CedarRules", "load_rules", "rules_from_text"]
