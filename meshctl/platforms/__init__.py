"""Where a mesh can run: one module for each platform, behind one interface. Nothing else knows a platform by its name.

`interface` says what a platform has to bring, `registry` finds the installed ones by the entry point group
`meshctl.platforms` (those that come with meshctl and those of other packages alike), `given` holds what platforms on an
existing cluster have in common. How a platform is added: docs/contributing/platform.md.
"""
