"""Settings for all tests: no deadlines, since the first call of a kernel compiles it.

The same examples each time, so that a test run says the same twice; `--hypothesis-profile=search`
draws new ones.
"""

from hypothesis import settings

settings.register_profile("search", deadline=None, print_blob=True)
settings.register_profile("fathom", settings.get_profile("search"), derandomize=True)
settings.load_profile("fathom")
