"""Usage records as APEL takes them: made, checked, put into messages and published."""
