# static.cmake: makes cmake find static libraries, since a unikernel's program is static.
#
# It is named as the toolchain file, so that any cmake of a build reads it; cmake sets the endings of libraries only after that,
# when project() knows the system, so it names itself to be read there once more. What a project or a command line sets wins.
set(CMAKE_PROJECT_INCLUDE "${CMAKE_CURRENT_LIST_FILE}")
set(CMAKE_FIND_LIBRARY_SUFFIXES .a)
if(NOT DEFINED BUILD_SHARED_LIBS)
  set(BUILD_SHARED_LIBS OFF)
endif()
foreach(package Boost OPENSSL ZLIB Protobuf CURL)
  if(NOT DEFINED ${package}_USE_STATIC_LIBS)
    set(${package}_USE_STATIC_LIBS ON)
  endif()
endforeach()
