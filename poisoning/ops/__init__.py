"""Pure functions that attacks and victims are written in: constraint sets, optimiser steps."""
