#!/usr/bin/env node
// placeholder until the launcher lands
