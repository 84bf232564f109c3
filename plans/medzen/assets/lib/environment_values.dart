import 'dart:convert';

import 'package:flutter/services.dart';

/// What differs between one build of the app and the next, read once when it starts.
class FFDevEnvironmentValues {
  FFDevEnvironmentValues._internal();

  factory FFDevEnvironmentValues() => _instance;

  static final FFDevEnvironmentValues _instance = FFDevEnvironmentValues._internal();

  String _chimeApiEndpoint = '';
  String _chimeApiEndpointAF = '';
  String _chimeRegion = '';

  String get chimeApiEndpoint => _chimeApiEndpoint;
  String get chimeApiEndpointAF => _chimeApiEndpointAF;
  String get chimeRegion => _chimeRegion;

  Future<void> initialize() async {
    final text = await rootBundle.loadString('assets/environment_values/environment.json');
    final values = json.decode(text) as Map<String, dynamic>;
    _chimeApiEndpoint = values['chimeApiEndpoint'] as String;
    _chimeApiEndpointAF = values['chimeApiEndpointAF'] as String;
    _chimeRegion = values['chimeRegion'] as String? ?? 'eu-west-1';
  }
}
