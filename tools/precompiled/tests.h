// As sources.h, for tests/.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/precompiled/sources.h"
